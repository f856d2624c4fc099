package topic

import (
	"fmt"

	"qmq/channel"
)

// TailError means that a topic has nothing that somebody who only looks may
// have: it would take away what is meant for others.
type TailError struct {
	Paused  bool  // its messages wait, for whoever is a channel then
	Waiting int64 // messages that wait in the topic
}

func (e *TailError) Error() string {
	if e.Paused {
		return fmt.Sprintf("tail refused: the topic is paused and %s in it", e.waits())
	}
	return fmt.Sprintf("tail refused: %s for a first channel", e.waits())
}

// waits says how many messages wait.
func (e *TailError) waits() string {
	if e.Waiting == 1 {
		return "1 message waits"
	}
	return fmt.Sprintf("%d messages wait", e.Waiting)
}

// TailChannel is Channel for somebody who only looks at what comes. It creates
// no channel, and returns a *TailError, where the topic is paused or has no other
// channel: the first channel gets all that waits, and what is published next
// would go to nobody else.
func (t *Topic) TailChannel(name string) (*channel.Channel, error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	if err := t.fanout.mayTail(name); err != nil {
		return nil, err
	}
	if c, ok := t.ExistingChannel(name); ok {
		return c, nil
	}
	return t.createChannel(name)
}

// TailChannelForClient is TailChannel for a client that wants to consume it. The
// error is also ErrNoAutoCreate.
func (t *Topic) TailChannelForClient(name string) (*channel.Channel, error) {
	if t.o.Common.NoAutoCreate {
		if _, ok := t.FindChannel(name); !ok {
			return nil, ErrNoAutoCreate
		}
	}
	return t.TailChannel(name)
}

// mayTail says whether a tail of that name takes nothing away from others.
func (f *fanout) mayTail(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.waiting(f.fanOut, f.end)
	if f.paused {
		return &TailError{Paused: true, Waiting: waiting}
	}
	for _, m := range f.members {
		if m.ready && m.channel.Name() != name {
			return nil
		}
	}
	return &TailError{Waiting: waiting}
}
