package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/state"
)

// A topic that the set does not have gets the channels that the directories know before its
// first message, whoever makes it and however.
func TestNewReplicatedTopicHasTheChannelsItHasElsewhere(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	known := func(string) map[string]bool {
		return map[string]bool{"audit": false, "work": true, "passing#ephemeral": false}
	}
	for i, m := range g.members {
		m.elsewhere.Store(&known)
		published, created, consumed := fmt.Sprint("published-", i), fmt.Sprint("created-", i), fmt.Sprint("consumed-", i)
		g.publish(m, published, "m", 1)
		g.change(m, state.CreateTopic, created, "")
		g.publish(m, created, "m", 1)
		k, err := m.Subscribe(consumed, "mine", true, broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}}})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		g.publish(m, consumed, "m", 1)
		for _, name := range []string{published, created, consumed} {
			g.awaitBodies(m, name, "audit", "m 0")
			g.awaitBodies(m, name, "work", "m 0")
			r, _ := m.Topic(name)
			for _, c := range r.Channels {
				if c.Paused != (c.Name == "work") {
					t.Errorf("channel %s of %s is paused: %v", c.Name, name, c.Paused)
				}
			}
			if slices.ContainsFunc(r.Channels, func(c broker.ReplicaChannel) bool { return c.Name == "passing#ephemeral" }) {
				t.Errorf("an ephemeral channel of others is made in %s", name)
			}
		}
	}
}

// An ephemeral channel is shown with its clients by the member that they are connected to,
// whoever leads the topic.
func TestEphemeralChannelIsShownWhereItsClientsAre(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	o := broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}}}
	clients := func(m *rigMember) int {
		shown, _ := m.Topic("orders")
		for _, c := range shown.Channels {
			if c.Name == "tail#ephemeral" {
				return len(c.Consumers)
			}
		}
		return -1
	}
	for i, m := range g.members {
		var consumers []broker.Consumer
		for range i + 1 {
			k, err := m.Subscribe("orders", "tail#ephemeral", true, o)
			if err != nil {
				t.Fatal(err)
			}
			consumers = append(consumers, k)
		}
		if n := clients(m); n != i+1 {
			t.Errorf("member %d shows %d clients of %d", i, n, i+1)
		}
		for _, k := range consumers {
			k.Close()
		}
		g.eventually("it is gone with its clients", func() bool { return clients(m) == -1 })
	}
}
