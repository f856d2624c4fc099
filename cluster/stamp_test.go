package cluster

import (
	"fmt"
	"testing"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
)

// publishStamped publishes bodies through a member, with what they say as far as it knows.
func (g *rig) publishStamped(m *rigMember, topicName string, bodies ...string) error {
	p, err := m.Publisher(topicName, false)
	if err != nil {
		return err
	}
	var b diskqueue.Batch
	stamp := p.Stamp().Begin(&b)
	for i, body := range bodies {
		said := message.Meta{Timestamp: int64(i + 1)}
		stamp.Apply(&said, []byte(body))
		b.Add(&said, []byte(body))
	}
	return p.Publish(&b)
}

// keys are those of what waits in a channel.
func (g *rig) keys(m *rigMember, topicName, channelName string) (list []string) {
	g.t.Helper()
	_, err := g.channelOf(m, topicName, channelName).Peek(channel.PeekOptions{Limit: 1000}, func(_ channel.Peeked, v message.View) error {
		list = append(list, string(v.Key()))
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return list
}

// Settings count for all that is published after they were OK'd, also through a member
// whose disk hangs, and that has not applied them.
func TestSettingsCountThroughMembersThatHaveNotAppliedThem(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	for _, m := range g.members {
		g.channelOf(m, "orders", "work")
		g.eventually("all say by which settings", func() bool { return m.registry.Load().Level >= levelOfStamps })
	}
	leader := g.leader(shardOf("orders"))
	for i, text := range []string{`{"key_from": "json:/user"}`, `{"key_from": "json:/id", "dedup_window": "1h", "dedup_from": "json:/id"}`} {
		late := g.members[i]
		if late == leader {
			late = g.members[2]
		}
		goOn := late.disk.hang(t)
		if err := g.configure(leader, "orders", "", text); err != nil {
			t.Fatal(err)
		}
		through := make(chan error, 1)
		go func() {
			through <- g.publishStamped(late, "orders", fmt.Sprintf(`{"user": "u", "id": "%d"}`, i), fmt.Sprintf(`{"user": "u", "id": "%d"}`, i))
		}()
		if err := g.publishStamped(leader, "orders", fmt.Sprintf(`{"user": "u", "id": "%d"}`, i)); err != nil {
			t.Fatal(err)
		}
		goOn()
		if err := <-through; err != nil {
			t.Fatal(err)
		}
	}
	want := "[u u u 1]" // doubles were not known at first
	g.eventually("the keys "+want, func() bool { return fmt.Sprint(g.keys(leader, "orders", "work")) == want })
	for _, m := range g.members {
		g.eventually("each member tells of the memory that ids take", func() bool {
			r, ok := m.Topic("orders")
			return ok && r.IDBytes > 0
		})
	}
}
