package cluster

import (
	"context"
	"encoding/json"
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
	"qmq/topic"
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
	g.eventually("one member shows it", func() bool { // it ends when another one leads
		g.change(g.members[0], state.CreateChannel, "orders", "tail#ephemeral")
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
	g.eventually("it is agreed on", func() bool { return g.members[1].Balance(ctx) == nil })
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

// Who yields leads nothing any more.
func TestYieldGivesAllLeadershipsAway(t *testing.T) {
	g := startRig(t)
	m := g.leader(0)
	m.SetDraining(true)
	g.eventually("nothing is led by who yields", func() bool {
		m.Yield() // as far as others keep up
		for _, s := range m.run.Load().opened() {
			if s.Status().Role == replica.Leader {
				return false
			}
		}
		return true
	})
}

// The last one of a set that stops has nobody to give anything to, and does not wait for one.
func TestTheLastMemberYieldsNothing(t *testing.T) {
	g := startRig(t)
	last := g.leader(0)
	shard := last.run.Load().shard(0)
	for _, m := range g.members {
		if m != last {
			defer g.cut(last, m)()
		}
	}
	g.eventually("it is alone", func() bool { return !last.run.Load().hasCompany(shard) })
	if err := last.run.Load().giveAway(t.Context(), 0, shard, 0); !errors.Is(err, errAlone) {
		t.Error(err)
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
	t.Logf("the publish took %v", time.Since(began))
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
		term := g.term(shardOf("orders"))
		if err := c.Finish(first); !errors.Is(err, channel.ErrNoMessage) && g.term(shardOf("orders")) == term {
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
		if c, err := m.broker.Cancel("orders", ids[0]); err != nil || c.Count(topic.IsDelivered) != 1 {
			t.Error("what a consumer had:", c, err)
		}
		for n := range g.members {
			id := g.deferred(m, "orders")
			by := g.members[(n+1)%len(g.members)] // at once: it knows what was OK'd elsewhere
			if c, err := by.broker.Cancel("orders", id); err != nil || c.Waiting || c.Count(topic.IsCancelled) != 1 {
				t.Error("what was OK'd:", c, err)
			}
			term := g.term(shardOf("orders"))
			if _, err := m.broker.Cancel("orders", id); !errors.Is(err, channel.ErrNoMessage) && g.term(shardOf("orders")) == term {
				t.Error("what is cancelled:", err)
			}
		}
		if _, err := m.broker.Cancel("none", ids[0]); !errors.Is(err, broker.ErrNoTopic) {
			t.Error("of a topic that is not there:", err)
		}
	}
	g.change(g.members[0], state.PauseTopic, "orders", "")
	g.publish(g.members[1], "orders", "paused", 1)
	waits(true)
}

// term is the highest of a shard that a member knows of. Who asks while another one begins to
// lead asks twice, and is told that it is done where it was done by the first.
func (g *rig) term(shard uint32) (highest uint64) {
	for _, m := range g.members {
		highest = max(highest, m.run.Load().shard(shard).Status().Term)
	}
	return highest
}

// What was cancelled by a leader that did not answer is told by the next one that is asked.
func TestWhoAsksAgainIsToldThatAMessageIsCancelled(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "before", 1) // which keeps what is behind it from being forgotten
	for again, want := range map[bool]byte{false: messageNone, true: messageDone} {
		id := g.deferred(g.members[1], "orders")
		if c, err := g.members[1].Cancel("orders", id); err != nil || c.Count(topic.IsCancelled) != 1 {
			t.Fatal(c, err)
		}
		question, err := json.Marshal(messageQuestion{Topic: "orders", ID: string(id[:]), Do: messageCancelAll, Again: again})
		if err != nil {
			t.Fatal(err)
		}
		g.eventually("the leader answers", func() bool {
			answer, err := g.leader(shardOf("orders")).run.Load().actOnMessage(t.Context(), 0, question)
			return err == nil && len(answer) > 0 && answer[0] == want
		})
	}
}

// deferred publishes a message for in ten minutes.
func (g *rig) deferred(m *rigMember, name string) message.ID {
	g.t.Helper()
	b := new(diskqueue.Batch)
	now := m.broker.Clock().Wall()
	b.Add(&message.Meta{Timestamp: now, DeliverAt: now/1e6 + 600_000}, []byte("later"))
	return g.publishAsking(m, name, b)
}

// publishAsking publishes one message and tells its id.
func (g *rig) publishAsking(m *rigMember, name string, b *diskqueue.Batch) message.ID {
	g.t.Helper()
	p, err := m.broker.Publisher(name)
	if err != nil {
		g.t.Fatal(err)
	}
	b.AskFirst()
	stored, err := m.broker.Publish(p, b)
	if err != nil {
		g.t.Fatal(err)
	}
	return message.MakeID(stored.(broker.Numbered).IDPrefix(), b.First())
}
