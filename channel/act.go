package channel

import (
	"errors"

	"qmq/internal/seqset"
	"qmq/message"
)

// ErrNoMessage answers for a message that the channel does not hold: it is finished, it
// never was the channel's, or it is still to come.
var ErrNoMessage = errors.New("the channel does not hold this message")

// What follows is for people who look after a channel. It needs no consumer and is as
// durable as what a consumer says: it reaches the journal with the channel's next changes.

// Finish acknowledges a message wherever it is: waiting, in flight with whomever, or
// deferred. A consumer that has it finds its own answer late. The error is ErrNoMessage
// or ErrExiting.
func (c *Channel) Finish(id message.ID) error {
	return c.act(id, func(seq uint64) {
		c.core.void(seq, seq+1)
		c.tellReadable()
	})
}

// Requeue has a message delivered as soon as it can be: one in flight is taken away from
// its consumer, one that is deferred waits no more. One that waits already stays where it
// is. The error is ErrNoMessage or ErrExiting.
func (c *Channel) Requeue(id message.ID) error {
	return c.act(id, func(seq uint64) { c.core.hasten(seq) })
}

// act does something to a message that the channel holds.
func (c *Channel) act(id message.ID, do func(seq uint64)) error {
	c.mu.Lock()
	seq, err := c.heldSeq(id)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	do(seq)
	c.unlock()
	c.o.Host.Moved(c.Floor())
	return nil
}

// heldSeq is the number of a message that the channel holds. The channel's lock is held.
func (c *Channel) heldSeq(id message.ID) (seq uint64, err error) {
	prefix, seq, ok := id.Split()
	switch {
	case c.core.closed:
		return 0, ErrExiting
	case !ok || prefix != c.o.IDPrefix || !c.core.holds(seq):
		return 0, ErrNoMessage
	}
	return seq, nil
}

// InFlight tells of each message whether a consumer has it. The error is ErrExiting.
func (c *Channel) InFlight(ids []message.ID) ([]bool, error) {
	flying := make([]bool, len(ids))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		seq, err := c.heldSeq(id)
		if errors.Is(err, ErrExiting) {
			return nil, err
		}
		flying[i] = err == nil && c.core.flight.find(seq) != 0
	}
	return flying, nil
}

// Message shows a message that the channel holds. The error is ErrNoMessage, ErrExiting,
// that of the read, or one of show, which is called without locks; the view is valid
// during the call.
func (c *Channel) Message(id message.ID, show func(message.View) error) error {
	c.mu.Lock()
	seq, err := c.heldSeq(id)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	reader := c.o.Host.NewReader()
	defer reader.Release()
	var view message.View
	if err := reader.Read(seq, &view); err != nil {
		return err
	}
	return show(view)
}

// holds tells whether a message is the channel's, and not acknowledged.
func (c *core) holds(seq uint64) bool { return seq < c.fanOut && !c.acked.Contains(seq) }

// hasten makes a message that is held available at once.
func (c *core) hasten(seq uint64) {
	if i := c.flight.find(seq); i != 0 {
		c.requeued++
		c.comeBack(c.removeInFlight(i))
		return
	}
	if c.resumeStopped(seq) {
		return
	}
	for _, m := range extractDue(&c.deferred, seqset.Range{From: seq, To: seq + 1}, nil) {
		c.comeBack(m)
		c.pending.open(m.seq, m.attempts, 0)
	}
}
