package topic

import (
	"errors"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// Cancellation is what became of a message that was to be cancelled.
type Cancellation struct {
	// Waiting says that the message was in no channel yet, for want of one or because the
	// topic is paused: it is in none that comes later.
	Waiting  bool        `json:"waiting"`
	Channels []Cancelled `json:"channels"`
}

// Cancelled is what became of a message in a channel, which is one of these words.
type Cancelled struct {
	Channel string `json:"channel"`
	Result  string `json:"result"`
}

const (
	IsCancelled = "cancelled"
	IsDelivered = "delivered" // a consumer has it, or had, and it stays as it is
	IsNotHeld   = "not held"  // it is finished, or never was the channel's
)

// Count is in how many channels the message had that result.
func (c *Cancellation) Count(result string) (n int) {
	for i := range c.Channels {
		if c.Channels[i].Result == result {
			n++
		}
	}
	return n
}

// Cancel acknowledges a message, deferred or not, in all channels that have delivered it to
// nobody. One that no channel has delivered is in none that comes later either. Channels
// come and go before it or after it. What it did in some channels alone is as durable as what
// a consumer says, all else is kept when it returns. The error is channel.ErrNoMessage when
// the message is nowhere, channel.ErrExiting when the topic ends, or why it may not have been
// kept.
func (t *Topic) Cancel(id message.ID) (Cancellation, error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	c, err := t.cancel(id)
	if errors.Is(err, channel.ErrNoMessage) && t.o.Replicated {
		// What others know to be agreed on need not be known here yet, and another node may
		// lead by now: when this is agreed on, it is.
		if err := t.o.State.Commit(state.Entry{Op: state.SetFanOut, Topic: t.o.Incarnation}); err != nil {
			return c, err
		}
		c, err = t.cancel(id)
	}
	return c, err
}

// Cancelled is what became of a message that was to be cancelled when it is not known whether it
// was: as it is with one that no channel gets, whatever its consumers do. The error is
// channel.ErrNoMessage when it is not such a one, or that is forgotten.
func (t *Topic) Cancelled(id message.ID) (c Cancellation, err error) {
	c.Channels = []Cancelled{}
	prefix, seq, ok := id.Split()
	if !ok || prefix != t.o.IDPrefix || !t.fanout.isVoid(seq) {
		return c, channel.ErrNoMessage
	}
	for _, one := range t.Channels() {
		c.Channels = append(c.Channels, Cancelled{one.Name(), IsCancelled})
	}
	c.Waiting = len(c.Channels) == 0
	return c, nil
}

// isVoid tells whether a message is void, as far as that has to be known.
func (f *fanout) isVoid(seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return seqset.Contains(f.voids, seq)
}

// cancel is Cancel of what is known of now. The caller holds t.changing.
func (t *Topic) cancel(id message.ID) (c Cancellation, err error) {
	c.Channels = []Cancelled{}
	prefix, seq, ok := id.Split()
	if !ok || prefix != t.o.IDPrefix {
		return c, channel.ErrNoMessage
	}
	c.Waiting = t.fanout.waits(seq)
	if !c.Waiting {
		if err := t.cancelInChannels(id, &c); err != nil {
			return c, err
		}
	}
	if all := len(c.Channels); c.Waiting || all > 0 && c.Count(IsCancelled) == all {
		return c, t.takeOut([]seqset.Range{{From: seq, To: seq + 1}})
	}
	if c.Count(IsNotHeld) == len(c.Channels) {
		return c, channel.ErrNoMessage
	}
	return c, nil
}

// cancelInChannels cancels a message that was given to the channels.
func (t *Topic) cancelInChannels(id message.ID, c *Cancellation) error {
	for _, one := range t.Channels() {
		result := IsCancelled
		switch err := one.Cancel(id); {
		case err == nil:
		case errors.Is(err, channel.ErrNoMessage):
			result = IsNotHeld
		case errors.Is(err, channel.ErrDelivered):
			result = IsDelivered
		default:
			return err
		}
		c.Channels = append(c.Channels, Cancelled{one.Name(), result})
	}
	return nil
}

// waits tells whether a message is committed and in no channel yet, nor void.
func (f *fanout) waits(seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fanOut <= seq && seq < f.end && !seqset.Contains(f.voids, seq)
}
