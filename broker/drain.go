package broker

import (
	"qmq/channel"
	"qmq/topic"
)

// Waiting is what waits in a channel, or in a topic itself where Channel is empty.
type Waiting struct {
	Topic    string `json:"topic"`
	Channel  string `json:"channel,omitempty"`
	Depth    int64  `json:"depth"`
	InFlight int    `json:"in_flight_count"`
	Deferred int    `json:"deferred_count"`
	// DeadLettering messages wait to become dead letters, which takes no consumer.
	DeadLettering int `json:"dead_lettering_count,omitempty"`
	// Retained messages are finished, and kept for a setting of the topic.
	Retained uint64 `json:"retained_count,omitempty"`
	// Left is why nobody waits for it while the node is drained; empty: it is waited for.
	Left string `json:"left,omitempty"`
}

// Why something is not waited for.
const (
	leftPaused     = "paused"
	leftNoChannel  = "no channel"
	leftNoConsumer = "no consumer"
	leftUnopened   = "cannot be opened"
	leftRetained   = "only retained"
)

// SetDraining refuses what clients publish from now on, or takes it again. What the node
// publishes itself, and all else, goes on.
func (b *Broker) SetDraining(on bool) {
	b.door.change(func(r *refusal) { r.draining = on })
	b.TakingChanged()
}

// Draining says whether clients' publishes are refused since SetDraining.
func (b *Broker) Draining() bool {
	r := b.door.shut.Load()
	return r != nil && r.draining
}

// Waiting lists where messages of the node's own topics wait, by name: awaited is what
// consumers are about to empty, and what is about to become dead letters, left is what is
// neither. Replicated topics are others'
// too, and not listed.
func (b *Broker) Waiting() (awaited, left []Waiting) {
	for _, t := range b.Topics() {
		for _, w := range waitingIn(t) {
			if w.Left == "" {
				awaited = append(awaited, w)
			} else {
				left = append(left, w)
			}
		}
	}
	for _, s := range b.unopened() {
		left = append(left, Waiting{Topic: s.unopened.Name, Left: leftUnopened})
	}
	return awaited, left
}

func waitingIn(t *topic.Topic) (list []Waiting) {
	channels, s := t.Channels(), t.Stats()
	if n := t.Retained(); n > 0 {
		list = append(list, Waiting{Topic: t.Name(), Retained: n, Left: leftRetained})
	}
	consumers := 0
	for _, c := range channels {
		w, n, spent := waitingInChannel(t, c)
		consumers += n
		if spent > 0 {
			list = append(list, Waiting{Topic: w.Topic, Channel: w.Channel, DeadLettering: spent})
		}
		if w.Depth > 0 || w.InFlight > 0 || w.Deferred > 0 {
			list = append(list, w)
		}
	}
	if s.Depth == 0 {
		return list
	}
	own := Waiting{Topic: t.Name(), Depth: s.Depth}
	switch {
	case s.Paused:
		own.Left = leftPaused
	case len(channels) == 0:
		own.Left = leftNoChannel
	case consumers == 0:
		own.Left = leftNoConsumer
	}
	return append(list, own)
}

// waitingInChannel is what waits for consumers of a channel, how many of them there are,
// and how much waits to become dead letters.
func waitingInChannel(t *topic.Topic, c *channel.Channel) (w Waiting, consumers, spent int) {
	s := c.Stats()
	w = Waiting{Topic: t.Name(), Channel: c.Name(), Depth: s.Depth, InFlight: s.InFlight, Deferred: s.Deferred}
	switch {
	case s.Paused:
		w.Left = leftPaused
	case len(s.Consumers) == 0:
		w.Left = leftNoConsumer
	}
	return w, len(s.Consumers), s.Spent
}
