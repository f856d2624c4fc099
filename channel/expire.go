package channel

import (
	"cmp"
	"slices"
	"sync"

	"qmq/message"
)

// expired is a message in flight whose deadline has passed.
type expired struct {
	deadline int64
	message  redelivery
}

// expire does what is due: deferred messages become due, and those in flight
// that have timed out are returned, or spent, in the order of their deadlines. When there are
// very many, the rest, of whatever deadline, stays for the next call, for which
// next asks at once.
func (c *core) expire(now int64) {
	c.resume(now)
	c.moveDue(now)
	c.resumeSpent(now)
	if now >= c.flight.due {
		c.timeOut(now)
	}
}

// expiries keeps memory for what times out together.
var expiries = sync.Pool{New: func() any { return new([]expired) }}

// timeOut returns at most maxMoves messages that have timed out.
func (c *core) timeOut(now int64) {
	memory := expiries.Get().(*[]expired)
	defer expiries.Put(memory)
	late := (*memory)[:0]
	for _, h := range c.flight.holders {
		if h == nil || len(late) >= maxMoves {
			continue // the timer comes again at once
		}
		for i := c.flight.earliest(h); i != 0 && c.flight.at(i).deadline <= now && len(late) < maxMoves; i = c.flight.earliest(h) {
			deadline := c.flight.at(i).deadline
			late = append(late, expired{deadline, c.removeInFlight(i)})
		}
	}
	slices.SortFunc(late, func(a, b expired) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.message.seq, b.message.seq))
	})
	for _, x := range late {
		if c.isSpent(x.message) {
			c.spend(x.message, message.TimedOut, now)
			continue
		}
		c.comeBack(x.message)
	}
	c.timedOut += uint64(len(late))
	c.flight.due = c.flight.earliestDue()
	*memory = late
}
