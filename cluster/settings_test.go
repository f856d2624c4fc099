package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"

	"qmq/broker"
	"qmq/settings"
	"qmq/state"
)

// configure sets settings of a topic, or of a channel where one is named, through a
// member, once all members are known to keep them.
func (g *rig) configure(m *rigMember, topic, channel, text string) error {
	g.t.Helper()
	c := broker.Change{Op: state.ConfigureTopic, Topic: topic, Settings: text}
	if channel != "" {
		c.Op, c.Channel = state.ConfigureChannel, channel
	}
	var err error
	g.eventually("all members keep settings", func() bool {
		err = m.Change(c)
		return !errors.Is(err, errOlderMembers)
	})
	return err
}

// What is set of a replicated topic is known to all members, and goes with leadership.
func TestSettingsOfAReplicatedTopicAreThoseOfTheSet(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	if err := g.configure(g.members[1], "orders", "", `{"max_messages": 2, "overflow": "drop-oldest"}`); err != nil {
		t.Fatal(err)
	}
	if err := g.configure(g.members[2], "orders", "work", `{"max_in_flight": 5}`); err != nil {
		t.Fatal(err)
	}
	var mistakes settings.Mistakes
	for text, want := range map[string]string{`{"sync": "interval"}`: "--replica-sync", `{"max_age": 1}`: "max_age must be"} {
		if err := g.configure(g.members[1], "orders", "", text); !errors.As(err, &mistakes) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, m := range g.members {
		g.eventually("all know", func() bool {
			r, ok := m.Topic("orders")
			return ok && r.Settings == `{"max_messages":2,"overflow":"drop-oldest"}` && r.Channels[0].Settings == `{"max_in_flight":5}`
		})
	}
	g.publish(g.members[0], "orders", "early", 5)
	for _, m := range g.members {
		shard := shardOf("orders")
		ctx, cancel := context.WithTimeout(t.Context(), rigTimeout)
		g.eventually("it is moved", func() bool { return m.Move(ctx, shard, m.o.Address) == nil })
		cancel()
		g.eventually("the oldest are dropped by whoever leads", func() bool {
			r, ok := m.Topic("orders")
			return ok && r.Served != nil && r.Served.Channels()[0].Stats().Depth == 2
		})
		g.publish(m, "orders", "late", 1)
	}
}
