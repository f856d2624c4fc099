package channel

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"qmq/internal/seqset"
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
	c.land(i)
	h.finished++
	c.acked.Add(seq)
	c.pending.acked(seqset.Range{From: seq, To: seq + 1})
	return nil
}

// requeue gives back a message that h has in flight: returned at once, or
// deferred by delay ns.
func (c *core) requeue(h *holder, seq uint64, now, delay int64) error {
	i, err := c.held(h, seq)
	if err != nil {
		return err
	}
	m := c.land(i)
	h.requeued++
	c.requeued++
	if delay <= 0 {
		c.returned.pushBack(m)
		return nil
	}
	due := (now + min(delay, c.maxDelay) + 1e6 - 1) / 1e6
	c.postpone(now, m, due)
	c.pending.open(m.seq, m.attempts, due)
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

// expired is a message in flight whose deadline has passed.
type expired struct {
	deadline int64
	message  again
}

// expire does what is due: deferred messages become due, and those in flight
// that have timed out are returned, in the order of their deadlines. When there are
// very many, the rest, of whatever deadline, stays for the next call, for which
// next asks at once.
func (c *core) expire(now int64) {
	c.wakeUp(now)
	c.moveDue(now)
	if now >= c.flight.due {
		c.timeOut(now)
	}
	c.wakeNext()
}

// expiries holds room for what times out together.
var expiries = sync.Pool{New: func() any { return new([]expired) }}

// timeOut returns at most moveMost messages that have timed out.
func (c *core) timeOut(now int64) {
	room := expiries.Get().(*[]expired)
	defer expiries.Put(room)
	late := (*room)[:0]
	for _, h := range c.flight.holders {
		if h == nil || len(late) >= moveMost {
			continue // the timer comes again at once
		}
		for i := c.flight.earliest(h); i != 0 && c.flight.at(i).deadline <= now && len(late) < moveMost; i = c.flight.earliest(h) {
			deadline := c.flight.at(i).deadline
			late = append(late, expired{deadline, c.land(i)})
		}
	}
	slices.SortFunc(late, func(a, b expired) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.message.seq, b.message.seq))
	})
	for _, x := range late {
		c.returned.pushBack(x.message)
	}
	c.timedOut += uint64(len(late))
	c.flight.due = math.MaxInt64
	if c.flight.n > 0 {
		c.flight.due = c.flight.earliestDue()
	}
	*room = late
}
