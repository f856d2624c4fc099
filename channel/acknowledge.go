package channel

import (
	"qmq/internal/seqset"
	"qmq/message"
)

// held finds the message seq in flight with h; the error is ErrNotInFlight or
// ErrNotOwner.
func (c *core) held(h *holder, seq uint64) (i uint32, err error) {
	i = c.flight.find(seq)
	if i == 0 {
		return 0, ErrNotInFlight
	}
	if c.flight.at(i).owner != h.index {
		return 0, ErrNotOwner
	}
	return i, nil
}

// finish acknowledges a message that h has in flight.
func (c *core) finish(h *holder, seq uint64) error {
	i, err := c.held(h, seq)
	if err != nil {
		return err
	}
	c.finishHeld(h, seq, i)
	return nil
}

// finishHeld acknowledges the message seq, which h has in flight at the index i.
func (c *core) finishHeld(h *holder, seq uint64, i uint32) {
	c.removeInFlight(i)
	h.finished++
	c.done(seq)
}

// done acknowledges a message that was taken out of where it was.
func (c *core) done(seq uint64) {
	c.acked.Add(seq)
	c.pending.acked(seqset.Range{From: seq, To: seq + 1})
	if a := c.conf.ahead; a != nil {
		a.finished(seq)
	}
}

// requeue gives back a message that h has in flight: returned at once, or
// deferred by delay ns, or spent.
func (c *core) requeue(h *holder, seq uint64, now, delay int64) error {
	i, err := c.held(h, seq)
	if err != nil {
		return err
	}
	m := c.removeInFlight(i)
	h.requeued++
	c.requeued++
	if c.isSpent(m) {
		c.spend(m, message.Requeued, now)
		return nil
	}
	if delay <= 0 {
		c.comeBack(m)
		return nil
	}
	due := (now + min(delay, c.maxDelay) + 1e6 - 1) / 1e6
	c.postpone(now, m, due)
	c.pending.open(m.seq, m.attempts, due)
	return nil
}

// giveBack returns a message that h has in flight and that its client never got: its
// attempts are what they were before.
func (c *core) giveBack(h *holder, seq uint64) error {
	i, err := c.held(h, seq)
	if err != nil {
		return err
	}
	m := c.removeInFlight(i)
	m.attempts--
	c.undelivered(h, 1)
	c.comeBackFirst(m)
	c.pending.open(m.seq, m.attempts, 0)
	return nil
}

// touch gives a message that h has in flight its full time again, within
// what one delivery may take.
func (c *core) touch(h *holder, seq uint64, now int64) error {
	i, err := c.held(h, seq)
	if err != nil {
		return err
	}
	c.flight.touch(i, min(now+h.timeout, c.flight.at(i).first+c.maxTimeout))
	return nil
}
