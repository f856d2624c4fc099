package channel

import (
	"cmp"
	"math"
	"slices"

	"qmq/internal/seqset"
)

// reservation is a message on its way to a consumer.
type reservation struct {
	seq      uint64
	attempts uint16 // this one included
	before   uint16 // attempts without this one
	from     queue
	due      int64 // of one from fromDue, steady ms
	// published is where it is noted when the message was published.
	published *published
}

// queue is where a reserved message waited.
type queue uint8

const (
	fromFresh queue = iota // the cursor passed it for the first time
	fromDue
	fromReturned
)

// reserve appends to dst what h may deliver now, at most limit messages, and
// counts it as in flight and tried once more. When there is nothing, h is
// parked. end is the cursor afterwards; release wants it back.
func (c *core) reserve(h *holder, now int64, limit int, dst []reservation) (batch []reservation, end uint64) {
	if h.gone {
		return dst, c.cursor
	}
	c.resume(now)
	c.moveDue(now)
	c.unpark(h)
	n := 0
	if !c.prefersNearer(h) {
		n = c.share(h, limit)
	}
	if n <= 0 {
		c.park(h)
		return dst, c.cursor
	}
	deadline := now + h.timeout
	if c.conf.ahead == nil {
		dst = c.reserveAny(h, now, deadline, n, dst)
	} else {
		before := len(dst)
		dst = c.reserveKnown(h, now, deadline, n, dst)
		if n = len(dst) - before; n == 0 {
			c.park(h)
			return dst, c.cursor
		}
	}
	h.delivered += uint64(n)
	c.delivered[h.locality] += uint64(n)
	if b := c.conf.bucket; b != nil {
		b.take(n, now)
	}
	c.setCredit(h, h.rdy, h.inFlight+int64(n))
	h.parked = h.credit() <= 0 // it need not look again to find nothing
	c.pending.dirty = c.pending.on
	return dst, c.cursor
}

// reserveAny reserves n messages: fresh ones and all others by turns.
func (c *core) reserveAny(h *holder, now, deadline int64, n int, dst []reservation) []reservation {
	fresh, old := c.split(n)
	if c.freshTurn {
		dst = c.reserveFresh(h, now, deadline, fresh, dst)
		dst = c.reserveOld(h, now, deadline, old, dst)
	} else {
		dst = c.reserveOld(h, now, deadline, old, dst)
		dst = c.reserveFresh(h, now, deadline, fresh, dst)
	}
	if n&1 == 1 {
		c.freshTurn = !c.freshTurn
	}
	return dst
}

// share is how many messages h may reserve: what it has credit for, and no more
// than its part when others of its locality have credit too.
func (c *core) share(h *holder, limit int) int {
	credit, available := h.credit(), c.available()
	if credit <= 0 || available == 0 {
		return 0
	}
	others := uint64(c.competitors(h))
	part := (available + others - 1) / others
	return int(min(uint64(credit), uint64(limit), part))
}

// split divides a reservation of n messages between fresh ones and all others: by
// halves as long as there are enough of both.
func (c *core) split(n int) (fresh, old int) {
	fresh = max(half(n, c.freshTurn), n-c.due.Len()-c.returned.Len())
	if uint64(fresh) > c.waiting {
		fresh = int(c.waiting)
	}
	return fresh, n - fresh
}

// half is the half of n, rounded up for whose turn it is.
func half(n int, turn bool) int {
	if turn {
		return n - n/2
	}
	return n / 2
}

// reserveFresh reserves the next n fresh messages.
func (c *core) reserveFresh(h *holder, now, deadline int64, n int, dst []reservation) []reservation {
	c.waiting -= uint64(n)
	for n > 0 {
		end := c.fanOut
		if r, ok := c.skip.Front(); ok {
			end = min(end, r.From)
		}
		end = min(end, c.cursor+uint64(n))
		n -= int(end - c.cursor)
		for ; c.cursor < end; c.cursor++ {
			at := c.flight.add(h, redelivery{seq: c.cursor, attempts: 1}, now, deadline)
			dst = append(dst, reservation{seq: c.cursor, attempts: 1, from: fromFresh, published: at})
		}
		c.skipOver()
	}
	return dst
}

// reserveOld reserves n due and returned messages: by halves as long as there are
// enough of both.
func (c *core) reserveOld(h *holder, now, deadline int64, n int, dst []reservation) []reservation {
	if n == 0 {
		return dst
	}
	due := min(max(half(n, c.dueTurn), n-c.returned.Len()), c.due.Len())
	if c.dueTurn {
		dst = c.reserveDue(h, now, deadline, due, dst)
		dst = c.reserveReturned(h, now, deadline, n-due, dst)
	} else {
		dst = c.reserveReturned(h, now, deadline, n-due, dst)
		dst = c.reserveDue(h, now, deadline, due, dst)
	}
	if n&1 == 1 {
		c.dueTurn = !c.dueTurn
	}
	return dst
}

// reserveDue reserves the next n due messages, by due time.
func (c *core) reserveDue(h *holder, now, deadline int64, n int, dst []reservation) []reservation {
	for range n {
		i := c.due.Pop()
		dst = append(dst, c.reserveRedelivery(h, now, deadline, deferred(i), reservation{from: fromDue, due: i.Due}))
	}
	return dst
}

// reserveReturned reserves the next n returned messages; they are read in the order
// of the log.
func (c *core) reserveReturned(h *holder, now, deadline int64, n int, dst []reservation) []reservation {
	start := len(dst)
	for range n {
		dst = append(dst, c.reserveRedelivery(h, now, deadline, c.returned.PopFront(), reservation{from: fromReturned}))
	}
	slices.SortFunc(dst[start:], func(a, b reservation) int { return cmp.Compare(a.seq, b.seq) })
	return dst
}

// reserveRedelivery reserves m, of whose reservation r says the rest.
func (c *core) reserveRedelivery(h *holder, now, deadline int64, m redelivery, r reservation) reservation {
	r.seq, r.attempts, r.before = m.seq, m.attempts, m.attempts
	if r.attempts < math.MaxUint16 {
		r.attempts++
	}
	m.attempts = r.attempts
	r.published = c.flight.add(h, m, now, deadline)
	c.pending.open(m.seq, m.attempts, 0)
	return r
}

// release takes back rest, the last ones that reserve gave h together with end:
// they were not delivered after all. Fresh ones become fresh again if the
// cursor has not moved on since, else they are the first to be returned; due
// ones are due as before.
func (c *core) release(h *holder, rest []reservation, end uint64) {
	if c.conf.ahead != nil {
		c.giveUp(h, rest)
		return
	}
	c.amend(rest)
	rewind := c.cursor == end
	for i := len(rest) - 1; i >= 0; i-- {
		r := rest[i]
		c.undelivered(h, 1)
		e := c.flight.find(r.seq)
		if e == 0 || c.flight.at(e).owner != h.index || h.gone {
			// Timed out, emptied or void meanwhile. What is not done must not
			// get above the cursor, where it would count as fresh.
			rewind = rewind && (r.from != fromFresh || c.acked.Contains(r.seq))
			continue
		}
		m := c.removeInFlight(e)
		m.attempts = r.before
		switch {
		case r.from == fromFresh && rewind:
			c.skip.Add(seqset.Range{From: r.seq + 1, To: c.cursor})
			c.cursor = r.seq
			c.waiting++
			continue
		case r.from == fromDue:
			c.makeDue(m.dueAt(r.due))
		default:
			c.returned.PushFront(m)
		}
		c.pending.open(m.seq, m.attempts, r.due)
	}
	c.pending.dirty = c.pending.on
}

// amend gives the next turn to the kind that came off badly in a reservation
// whose last messages rest were not delivered: the other kind was first.
func (c *core) amend(rest []reservation) {
	if len(rest) == 0 {
		return
	}
	last := rest[len(rest)-1].from
	c.freshTurn = last == fromFresh
	for i := len(rest) - 1; i >= 0; i-- {
		if rest[i].from != fromFresh {
			c.dueTurn = rest[i].from == fromDue
			return
		}
	}
}

// undelivered takes n messages that were reserved for h out of the count: h did not
// get them.
func (c *core) undelivered(h *holder, n int) {
	h.delivered -= uint64(n)
	c.delivered[h.locality] -= uint64(n)
	if b := c.conf.bucket; b != nil {
		b.giveBack(n)
	}
}
