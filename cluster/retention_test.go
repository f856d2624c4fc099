package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/vfs"
	"qmq/state"
)

// kept is how many messages of a topic a member has, once what nobody needs is given up.
func (g *rig) kept(m *rigMember, name string) (n uint64) {
	g.t.Helper()
	r := m.run.Load()
	r.machines[shardOf(name)].Reclaim()
	l, release, err := m.Look(name)
	if err != nil {
		return 0
	}
	defer release()
	return l.Len()
}

// What is finished is kept by all members, whoever leads, until a member has little room:
// then all give it up.
func TestAllMembersRetainUntilOneHasLittleRoom(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	if err := g.configure(g.members[1], "orders", "", `{"retention_time": "24h", "sync": "always"}`); err != nil {
		t.Fatal(err)
	}
	g.eventually("it is agreed on", func() bool {
		for _, m := range g.members {
			if len(m.run.Load().machines[shardOf("orders")].Retained()) != 1 {
				return false
			}
		}
		return true
	})
	const each = 4
	body := strings.Repeat("x", 1100<<10)
	for i, m := range g.members {
		ctx, cancel := context.WithTimeout(t.Context(), rigTimeout)
		g.eventually("it is moved", func() bool { return m.Move(ctx, shardOf("orders"), m.o.Address) == nil })
		cancel()
		g.publish(m, "orders", body, each)
		g.consumeAt(m, "orders", "work", each, channel.Finish)
		for _, other := range g.members {
			want := uint64(each * (i + 1))
			g.eventually("all is kept", func() bool { return g.kept(other, "orders") == want })
		}
	}
	g.members[1].space.Store(&vfs.Space{Free: 1 << 20, Used: 1 << 40})
	for _, m := range g.members {
		g.eventually("nothing is kept where one has little room", func() bool { return g.kept(m, "orders") == 0 })
	}
	g.members[1].space.Store(&vfs.Space{Free: 1 << 40})
	g.eventually("there is room again", func() bool {
		return !g.members[0].run.Load().room.anyScarce() && !g.members[2].run.Load().room.anyScarce()
	})
}

// Every member tells of a bounded channel where it ends, and whether it has had everything.
func TestAllMembersTellOfBoundedChannels(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.publish(g.members[0], "orders", "x", 4)
	create := func(channel string, leaves bool) {
		t.Helper()
		var err error
		g.eventually("all know replays", func() bool {
			err = g.members[1].Change(broker.Change{Op: state.CreateChannel, Topic: "orders", Channel: channel, From: "first", Until: "last", Leaves: leaves})
			return !errors.Is(err, errNoReplay)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	told := func(channel string, is func(c broker.ReplicaChannel) bool) {
		t.Helper()
		for _, m := range g.members {
			g.eventually("it is told", func() bool {
				r, ok := m.Topic("orders")
				i := slices.IndexFunc(r.Channels, func(c broker.ReplicaChannel) bool { return c.Name == channel })
				return ok && i >= 0 && is(r.Channels[i])
			})
		}
	}
	rewind := func(m *rigMember, to string) {
		t.Helper()
		if err := m.Change(broker.Change{Op: state.RewindChannel, Topic: "orders", Channel: "stays", From: to}); err != nil {
			t.Fatal(err)
		}
	}
	// The one that leaves is gone soon after it has had everything, so that no member need
	// tell that it has.
	create("leaves", true)
	told("leaves", func(c broker.ReplicaChannel) bool { return c.Until > 0 && c.Leaves && !c.Done })
	create("stays", false)
	told("stays", func(c broker.ReplicaChannel) bool { return c.Until > 0 && !c.Leaves && !c.Done })
	rewind(g.members[2], "first")
	told("stays", func(c broker.ReplicaChannel) bool { return c.Rewound > 0 })
	rewind(g.members[0], "last")
	told("stays", func(c broker.ReplicaChannel) bool { return c.Until > 0 && c.Done })
}
