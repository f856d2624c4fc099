package cluster

import (
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
