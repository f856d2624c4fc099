package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/replica"
	"qmq/state"
)

// Messages are looked at through any member, wherever the topic is led.
func TestChannelIsLookedAtThroughAnyMember(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[1], state.CreateChannel, "orders", "work")
	g.publish(g.members[2], "orders", "order", 3)
	for _, m := range g.members {
		g.awaitBodies(m, "orders", "work", "order 0", "order 1", "order 2")
	}
}

// The member that leads a topic tells of its ephemeral channels, which it alone has.
func TestEphemeralChannelsAreShownByWhoLeads(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.change(g.members[0], state.CreateChannel, "orders", "tail#ephemeral")
	g.eventually("one member shows it", func() bool {
		shown := 0
		for _, m := range g.members {
			if r, _ := m.Topic("orders"); len(r.Channels) == 2 && r.Channels[0].Name == "tail#ephemeral" && r.Served != nil {
				shown++
			}
		}
		return shown == 1
	})
}

// A member that finds out, while it runs, that its log lacks what it acknowledged comes
// back as another one by itself.
func TestMemberThatTurnsOutToHaveForgottenJoinsAgain(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "before", 3)
	m := g.members[1]
	was := m.who().Member
	m.run.Load().alarm(shardOf("orders"), replica.ErrForgetful)
	g.eventually("it has a vote under another id", func() bool {
		now := m.who().Member
		all := g.members[0].registry.Load()
		return now != was && all.member(was) == nil && all.member(now) != nil && !all.member(now).Joining
	})
	g.eventually("it takes publishes again", func() bool { return m.run.Load() != nil && m.Health() == nil })
	g.publish(m, "orders", "after", 1)
	g.awaitBodies(m, "orders", "work", "before 0", "before 1", "before 2", "after 0")
}

// A leadership that somebody moves goes there and stays there, until leaders are
// balanced again.
func TestLeadershipIsMovedAndStays(t *testing.T) {
	g := startRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), rigTimeout)
	defer cancel()
	const shard = 3
	for _, to := range g.members {
		g.eventually("it is moved", func() bool { return g.members[0].Move(ctx, shard, to.o.Address) == nil })
		g.eventually("all know", func() bool {
			return g.members[2].run.Load().watch.leaderOf(shard) == uint64(to.who().Member)
		})
		g.eventually("it is its turn", func() bool { return g.members[1].registry.Load().turn(shard) == to.who().Member })
	}
	if err := g.members[1].Balance(ctx); err != nil {
		t.Fatal(err)
	}
	g.eventually("nobody is preferred", func() bool { return len(g.members[2].registry.Load().Preferred) == 0 })
	g.eventually("all lead whose turn it is", func() bool {
		for n := range uint32(Shards + 1) {
			if g.members[2].run.Load().watch.leaderOf(n) != uint64(g.members[2].registry.Load().turn(n)) {
				return false
			}
		}
		return true
	})
	for _, wrong := range []string{"", "nobody:1", "0000000000000001"} {
		if err := g.members[0].Move(ctx, shard, wrong); err == nil {
			t.Errorf("moved to %q", wrong)
		}
	}
	if err := g.members[0].Move(ctx, Shards+1, g.peers[0]); err == nil {
		t.Error("a shard was moved that there is not")
	}
}

// Who yields leads nothing any more, and soon.
func TestYieldGivesAllLeadershipsAway(t *testing.T) {
	g := startRig(t)
	m := g.leader(0)
	began := time.Now()
	m.Yield()
	if took := time.Since(began); took > 2*moveTime {
		t.Errorf("it took %s", took)
	}
	for n, s := range m.run.Load().opened() {
		if s.Status().Role == replica.Leader {
			t.Errorf("shard %d is still led", n)
		}
	}
}

// While the disk of a leader hangs, another one leads, and publishes go on; nothing is
// lost or doubled when it goes on.
func TestLeadershipLeavesAMemberWhoseDiskHangs(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "before", 2)
	hung := g.leader(shardOf("orders"))
	goOn := hung.disk.hang(t)
	other := g.members[0]
	if other == hung {
		other = g.members[1]
	}
	began := time.Now()
	g.publish(other, "orders", "meanwhile", 2)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the publish took %s", took)
	}
	g.eventually("another one leads", func() bool {
		leader := other.run.Load().watch.leaderOf(shardOf("orders"))
		return leader != 0 && leader != uint64(hung.who().Member)
	})
	g.publish(other, "orders", "under another", 1)
	goOn()
	g.publish(hung, "orders", "after", 1)
	for _, m := range g.members {
		g.awaitBodies(m, "orders", "work", "before 0", "before 1", "meanwhile 0", "meanwhile 1", "under another 0", "after 0")
	}
}

// One message of a channel is shown, hastened and finished through any member, and what
// was finished so stays finished, whoever leads next. The log is looked at everywhere.
func TestMessageIsActedOnThroughAnyMember(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[1], state.CreateChannel, "orders", "work")
	g.publish(g.members[2], "orders", "order", 3)
	for i, m := range g.members {
		g.awaitBodies(m, "orders", "work", []string{"order 0", "order 1", "order 2"}[i:]...)
		c := g.channelOf(m, "orders", "work")
		var first message.ID
		stop := errors.New("one is enough")
		if _, err := c.Peek(channel.PeekOptions{Order: channel.PeekOldest, Limit: 1}, func(p channel.Peeked, _ message.View) error { first = p.ID; return stop }); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		body := ""
		if err := errors.Join(c.Message(first, func(v message.View) error { body = string(v.Body); return nil }), c.Requeue(first), c.Finish(first)); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("order %d", i); body != want {
			t.Errorf("got %q, want %q", body, want)
		}
		if err := c.Finish(first); !errors.Is(err, channel.ErrNoMessage) {
			t.Errorf("finished twice: %v", err)
		}
		g.eventually("its log is looked at", func() bool {
			l, release, err := m.Look("orders")
			if err != nil {
				return false
			}
			defer release()
			return l.Len() == 3
		})
	}
}

// A deferred message is cancelled through any member, as long as no consumer got it, and
// which messages wait in the topic itself is known to all of them.
func TestMessageIsCancelledThroughAnyMember(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	waits := func(want bool) {
		t.Helper()
		for _, m := range g.members {
			g.eventually(fmt.Sprintf("whether messages wait in the topic: %t", want), func() bool {
				l, release, err := m.Look("orders")
				if err != nil {
					return false
				}
				defer release()
				return (l.FanOut < l.End) == want
			})
		}
	}
	g.publish(g.members[0], "orders", "early", 2)
	waits(true)
	g.change(g.members[1], state.CreateChannel, "orders", "work")
	waits(false)
	g.publish(g.members[2], "orders", "order", 1)
	waits(false)
	ids := g.consumeAt(g.members[0], "orders", "work", 3, channel.Requeue).ids
	for _, m := range g.members {
		if err := g.channelOf(m, "orders", "work").Cancel(ids[0]); !errors.Is(err, channel.ErrDelivered) {
			t.Error("what a consumer had:", err)
		}
		id := g.deferred(m, "orders")
		g.eventually("whoever leads has given it to the channel", func() bool {
			return g.channelOf(m, "orders", "work").Message(id, func(message.View) error { return nil }) == nil
		})
		for n, by := range g.members {
			want := error(nil)
			if n > 0 {
				want = channel.ErrNoMessage
			}
			if err := g.channelOf(by, "orders", "work").Cancel(id); !errors.Is(err, want) {
				t.Error(err)
			}
		}
	}
	g.change(g.members[0], state.PauseTopic, "orders", "")
	g.publish(g.members[1], "orders", "paused", 1)
	waits(true)
}

// deferred publishes a message for in ten minutes.
func (g *rig) deferred(m *rigMember, name string) message.ID {
	g.t.Helper()
	p, err := m.broker.Publisher(name)
	if err != nil {
		g.t.Fatal(err)
	}
	b := new(diskqueue.Batch)
	b.AskFirst()
	now := m.broker.Clock().Wall()
	b.Add(&message.Meta{Timestamp: now, DeliverAt: now/1e6 + 600_000}, []byte("later"))
	stored, err := m.broker.Publish(p, b)
	if err != nil {
		g.t.Fatal(err)
	}
	return message.MakeID(stored.(broker.Numbered).IDPrefix(), b.First())
}
