package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/state"
)

// A topic that is deleted at one member is hidden there, and its consumers there are
// sent away, until somebody publishes there.
func TestTopicDeletedAtOneMemberIsHiddenThere(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	m := g.members[1]
	g.publish(m, "orders", "before", 1)
	p, err := m.Publisher("orders", false)
	if err != nil {
		t.Fatal(err)
	}
	var closed [3]atomic.Bool
	for i, m := range g.members {
		o := broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{ID: uint64(i) + 1, MsgTimeout: time.Minute, Closed: func() { closed[i].Store(true) }}}
		k, err := m.Subscribe("orders", "work", false, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
	}
	g.change(m, state.DeleteTopic, "orders", "")
	for i, other := range g.members {
		hides := other == m
		g.eventually("it is hidden at one member alone", func() bool { // others may apply its creation later
			_, shown := other.Topic("orders")
			return shown != hides && slices.Contains(other.Names(), "orders") != hides && closed[i].Load() == hides
		})
	}
	if err := p.Publish(batchOf("after")); err != nil {
		t.Fatal(err)
	}
	if _, shown := m.Topic("orders"); !shown {
		t.Error("it was published to, and is hidden")
	}
	g.awaitBodies(m, "orders", "work", "before 0", "after")
}

// Stock nsqadmin deletes a topic, and a channel, at all nodes at once.
func TestTopicDeletedAtAllMembersIsGone(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	for _, c := range []broker.Change{{Op: state.DeleteChannel, Topic: "orders", Channel: "work"}, {Op: state.DeleteTopic, Topic: "orders"}} {
		var asking sync.WaitGroup
		for _, m := range g.members {
			asking.Go(func() {
				if err := m.Change(c); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
	}
	for _, m := range g.members {
		g.eventually("it is gone", func() bool { return len(m.Names()) == 0 })
	}
	g.change(g.members[2], state.CreateTopic, "orders", "")
	if r, ok := g.members[2].Topic("orders"); !ok || len(r.Channels) > 0 {
		t.Errorf("%+v", r)
	}
}

// A member that leads a topic and hides it gives its leadership away, so that one tells what
// it holds; it is not given it while it hides it, and has it again when it does not.
func TestLeaderThatHidesATopicLetsAnotherTellOfIt(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	shard := shardOf("orders")
	turn := g.inTurn(shard)
	g.change(turn, state.DeleteTopic, "orders", "")
	var second *rigMember
	g.balanced("another one leads and tells of it", func() bool {
		second = g.teller("orders")
		return second != nil && second != turn
	})
	g.eventually("all take that for right", func() bool {
		for _, m := range g.members {
			if w := m.run.Load().watch; w.turn(m.registry.Load(), shard, w.leaderOf(shard)) == turn.run.Load().member {
				return false
			}
		}
		return true
	})
	for _, m := range g.members {
		g.eventually("it is refused to move it to who hides a topic", func() bool {
			return errors.Is(m.Move(t.Context(), shard, turn.o.Address), errHides)
		})
		g.eventually("who leads refuses it too", func() bool { return tells(m.move(t.Context(), shard, turn.who().Member), errHides) })
	}
	second.hide("orders")
	g.balanced("the third leads and tells of it", func() bool {
		teller := g.teller("orders")
		return teller != nil && teller != turn && teller != second
	})
	g.balanced("who shows it again leads it again", func() bool {
		turn.run.Load().show("orders")
		return g.teller("orders") == turn
	})
}

// A shard of which each member hides a topic stays where it is, until one shows them all.
func TestShardOfWhichAllHideATopicStaysWhereItIs(t *testing.T) {
	g := startRig(t)
	shard := shardOf("orders")
	names := []string{"orders"}
	for n := 0; len(names) < len(g.members); n++ {
		if name := fmt.Sprint("orders-", n); shardOf(name) == shard {
			names = append(names, name)
		}
	}
	for _, name := range names {
		g.change(g.members[0], state.CreateTopic, name, "")
	}
	turn := g.inTurn(shard)
	members := append(g.others(turn), turn) // who leads it begins to hide one last
	for i, m := range members {
		g.eventually(names[i]+" is there", func() bool { _, there := m.Topic(names[i]); return there })
		m.hide(names[i])
		g.eventually("all know", func() bool {
			return !slices.ContainsFunc(g.members, func(by *rigMember) bool { return !by.run.Load().watch.hides(m.run.Load().member, shard) })
		})
	}
	w := turn.run.Load().watch
	if to := w.showing(shard, turn.run.Load().shard(shard)); to != 0 {
		t.Errorf("it is given to %s", turn.addressOf(to))
	}
	if got := w.turn(turn.registry.Load(), shard, w.r.member); got != w.r.member {
		t.Errorf("it should be led by %s", turn.addressOf(got))
	}
	members[1].run.Load().show(names[1])
	g.balanced("who shows all leads", func() bool { return g.teller(names[0]) == members[1] })
}

// balanced is eventually, where leaders are spread without waiting until all is calm.
func (g *rig) balanced(what string, condition func() bool) {
	g.t.Helper()
	g.eventually(what, func() bool {
		for _, m := range g.members {
			m.run.Load().watch.spreadNow()
		}
		return condition()
	})
}

// inTurn waits until a shard is led by whose turn it is, as all know.
func (g *rig) inTurn(shard uint32) (turn *rigMember) {
	g.t.Helper()
	g.balanced("it is led by whose turn it is", func() bool {
		turn = g.leader(shard)
		return !slices.ContainsFunc(g.members, func(m *rigMember) bool {
			leader := m.run.Load().watch.leaderOf(shard)
			return leader != turn.run.Load().member || leader != uint64(m.registry.Load().turn(shard))
		})
	})
	return turn
}

// hide hides a topic at a member alone.
func (m *rigMember) hide(name string) {
	n, r := shardOf(name), m.run.Load()
	incarnation, _ := r.machines[n].Incarnation(name)
	r.hide(topicID{n, incarnation}, name)
}

// teller is the one member that tells what a topic holds; nil: none or several do.
func (g *rig) teller(name string) (teller *rigMember) {
	n := 0
	for _, m := range g.members {
		if r, ok := m.Topic(name); ok && r.Served != nil {
			teller, n = m, n+1
		}
	}
	if n != 1 {
		return nil
	}
	return teller
}
