package cluster

import (
	"fmt"
	"testing"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
)

// What is said of messages, or found in their bodies, comes through any member and is
// shown by any, whoever leads.
func TestHeadersAndKeysOfAReplicatedTopicAreThoseOfTheSet(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	if err := g.configure(g.members[1], "orders", "", `{"key_from": "json:/user"}`); err != nil {
		t.Fatal(err)
	}
	for i, m := range g.members {
		p, err := m.Publisher("orders", false)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Appendf(nil, `{"user": "u-%d"}`, i)
		said := message.Meta{Headers: message.AppendHeader(nil, "from", fmt.Sprint(i))}
		var b diskqueue.Batch
		p.Stamp().Begin(&b).Apply(&said, body)
		b.Add(&said, body)
		if err := p.Publish(&b); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range g.members {
		g.eventually("all messages are shown with their headers", func() bool {
			c, err := m.Channel("orders", "work")
			if err != nil {
				return false
			}
			found := make(map[string]bool)
			var last message.ID
			_, err = c.Peek(channel.PeekOptions{Order: channel.PeekOldest, Limit: 10}, func(p channel.Peeked, v message.View) error {
				found[fmt.Sprint(message.ShownHeaders(v.AppendDescription(nil)))] = true
				last = p.ID
				return nil
			})
			if err != nil || len(found) != len(g.members) || !found["[{key u-0 []} {from 0 []}]"] {
				return false
			}
			var key string
			err = c.Message(last, func(v message.View) error {
				key = string(v.Key())
				return nil
			})
			return err == nil && key == fmt.Sprintf("u-%d", len(g.members)-1)
		})
	}
}
