package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/state"
)

// handful is the messages that a consumer got.
type handful struct {
	ids      []message.ID
	bodies   []string
	attempts []uint16
}

func (t *handful) Put(m *channel.Message) bool {
	t.ids, t.bodies, t.attempts = append(t.ids, m.ID), append(t.bodies, string(m.Body)), append(t.attempts, m.Attempts)
	return true
}

// consumeAt takes n messages of a channel through a member, and has them answered.
func (g *rig) consumeAt(m *rigMember, topicName, channelName string, n int, op channel.AnswerOp) *handful {
	g.t.Helper()
	wakes := make(chan struct{}, 1)
	k, _, err := m.broker.Subscribe(topicName, channelName, broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{
		ID: 1, MsgTimeout: time.Minute, Wake: func() {
			select {
			case wakes <- struct{}{}:
			default:
			}
		},
	}})
	if err != nil {
		g.t.Fatal(err)
	}
	defer k.Close()
	k.SetReady(int64(n))
	all := new(handful)
	k.Take(all, n)
	late := time.After(rigTimeout)
	for len(all.ids) < n {
		select {
		case <-wakes:
			k.Take(all, n)
		case <-late:
			g.t.Fatalf("%q came of %d messages", all.bodies, n)
		}
	}
	k.SetReady(0)
	for _, id := range all.ids {
		k.Answer([]channel.Answer{{Op: op, ID: id}})
	}
	return all
}

// letters are the dead letters of a topic as a member shows them, if it can.
func (g *rig) letters(m *rigMember, topicName string) (list []string, err error) {
	_, err = m.broker.DeadLetters(topicName, 0, 100, func(_ message.ID, v message.View) error {
		d, _ := v.DeadLetter()
		list = append(list, fmt.Sprintf("%s of %s/%s", v.Body, d.Topic, d.Channel))
		return nil
	})
	return list, err
}

func TestDeadLettersOfReplicatedTopicsAreShownAndPutBackThroughAnyMember(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[1], state.CreateChannel, "orders", "work")
	g.change(g.members[1], state.CreateChannel, "orders", "other")
	g.eventually("all members know settings", func() bool {
		err := g.members[2].broker.Change(broker.Change{Op: state.ConfigureChannel, Topic: "orders", Channel: "work", Settings: `{"max_attempts": 1, "dead_letter_topic": "dead"}`})
		return err == nil
	})
	g.publish(g.members[2], "orders", "order", 3)
	got := g.consumeAt(g.members[0], "orders", "work", 3, channel.Requeue)
	var want []string
	for _, body := range got.bodies {
		want = append(want, body+" of orders/work")
	}
	slices.Sort(want)
	for _, m := range g.members {
		g.eventually("dead letters", func() bool {
			list, err := g.letters(m, "dead")
			slices.Sort(list)
			return err == nil && slices.Equal(list, want)
		})
		g.awaitBodies(m, "orders", "work")
	}
	if err := g.members[0].broker.Change(broker.Change{Op: state.ConfigureChannel, Topic: "orders", Channel: "work", Settings: `{"max_attempts": null, "dead_letter_topic": null}`}); err != nil {
		t.Fatal(err)
	}
	p, err := g.members[1].broker.PutBackAll("dead")
	if err != nil || p.Done != 3 || len(p.Left) > 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, m := range g.members {
		g.eventually("no dead letter", func() bool {
			list, err := g.letters(m, "dead")
			return err == nil && len(list) == 0
		})
	}
	again := g.consumeAt(g.members[2], "orders", "work", 3, channel.Finish)
	slices.Sort(again.bodies)
	if !slices.Equal(again.bodies, []string{"order 0", "order 1", "order 2"}) || !slices.Equal(again.attempts, []uint16{1, 1, 1}) {
		t.Errorf("put back are %q with attempts %v", again.bodies, again.attempts)
	}
	g.awaitBodies(g.members[0], "orders", "other", "order 0", "order 1", "order 2")
}
