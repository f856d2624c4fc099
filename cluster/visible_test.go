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

// Who has subscribed through a member finds topic and channel in what that member shows,
// whoever leads it and however far that member was when the leader made them.
func TestSubscribedChannelIsShownWhereItWasAskedFor(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	o := broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}}}
	for n := range 120 {
		m := g.members[n%3]
		topicName, channelName := fmt.Sprintf("orders-%d", n/30), fmt.Sprintf("work-%d", n)
		k, err := m.Subscribe(topicName, channelName, true, o)
		if err != nil {
			t.Fatal(err)
		}
		shown, _ := m.Topic(topicName)
		if !slices.ContainsFunc(shown.Channels, func(c broker.ReplicaChannel) bool { return c.Name == channelName }) {
			t.Errorf("member %d does not show %s of %s", n%3, channelName, topicName)
		}
		k.Close()
	}
}

// What is done at one member right after another one was told what it is about is not
// refused because it has not heard of that yet.
func TestWhatAnotherMemberWasJustToldIsNotRefused(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	for n := range 30 {
		to, then := g.members[n%3], g.members[(n+1)%3]
		name, expected := fmt.Sprintf("mine-%d", n), fmt.Sprintf("127.0.0.1:%d", 1+n)
		g.asks("create", func() error { return to.Change(broker.Change{Op: state.CreateTopic, Topic: name, Local: true}) })
		g.asks("adopt", func() error { return then.Adopt(t.Context(), name) })
		g.asks("add", func() error { return to.Add(t.Context(), expected, "") })
		g.asks("remove", func() error { return then.Remove(t.Context(), expected) })
	}
	if err := g.members[0].Adopt(t.Context(), "other"); err == nil {
		t.Error("a topic that does not stay local is adopted")
	}
	if err := g.members[0].Remove(t.Context(), "127.0.0.1:99"); err == nil {
		t.Error("nobody is removed")
	}
}
