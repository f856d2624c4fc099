package cluster

import (
	"errors"
	"testing"
	"time"

	"qmq/broker"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
)

// goOnSoon has a disk that hangs go on in a moment.
func (m *rigMember) goOnSoon(t *testing.T) { time.AfterFunc(100*time.Millisecond, m.disk.hang(t)) }

// What one member was told is there every other one finds, also one that has not applied it
// yet, as its disk is slow.
func TestWhatOneMemberWasToldOthersFind(t *testing.T) {
	g := startRig(t)
	late := g.others(g.leader(shardOf("orders")))[0]
	finds := map[string]func() error{
		"to publish to it": func() error {
			_, err := late.Publisher("orders", false)
			return err
		},
		"to look at its log": func() error {
			_, release, err := late.Look("orders")
			if err == nil {
				release()
			}
			return err
		},
		"to look at its channel": func() error {
			_, err := late.Channel("orders", "work")
			return err
		},
	}
	for what, find := range finds {
		late.goOnSoon(t)
		other := g.others(late)[0]
		g.change(other, state.CreateTopic, "orders", "")
		g.change(other, state.CreateChannel, "orders", "work")
		if err := find(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := other.Change(broker.Change{Op: state.DeleteTopic, Topic: "orders", Everywhere: true}); err != nil {
			t.Fatal(err)
		}
		g.eventually("it is gone", func() bool {
			_, there := late.Topic("orders")
			return !there
		})
	}
}

// Places in a log, and what is there, are looked for among all that was OK'd, also at a member
// that has not applied it yet.
func TestLogIsShownWithAllThatWasOKd(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	late := g.others(g.leader(shardOf("orders")))[0]
	g.channelOf(late, "orders", "work")
	for n := range uint64(3) {
		late.goOnSoon(t)
		g.publishOne(g.others(late)[0], "orders")
		l, release, err := late.Look("orders")
		if err != nil {
			t.Fatal(err)
		}
		if l.Len() != n+1 {
			t.Errorf("%d messages are shown of %d", l.Len(), n+1)
		}
		release()
		if bodies := g.bodies(late, "orders", "work"); len(bodies) != int(n+1) {
			t.Errorf("%d messages of the channel are shown of %d", len(bodies), n+1)
		}
	}
}

// A message that was OK'd is shown at once, though its leader has not applied it yet.
func TestMessageThatWasOKdIsFoundAtALeaderThatIsBehind(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	for range 2 {
		leader := g.leader(shardOf("orders"))
		for _, m := range append(g.others(leader), leader) {
			c := g.channelOf(m, "orders", "work")
			leader.goOnSoon(t)
			id := g.publishOne(g.others(leader)[0], "orders")
			if err := errors.Join(c.Message(id, func(message.View) error { return nil }), c.Finish(id)); err != nil {
				t.Error(err)
			}
		}
	}
}

// publishOne publishes a message and tells its id.
func (g *rig) publishOne(m *rigMember, name string) message.ID {
	g.t.Helper()
	b := new(diskqueue.Batch)
	b.Add(&message.Meta{Timestamp: 1}, []byte("one"))
	return g.publishAsking(m, name, b)
}
