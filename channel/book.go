package channel

import (
	"cmp"
	"math"
	"slices"

	"qmq/internal/seqset"
)

// booked is a message on its way to a consumer.
type booked struct {
	seq      uint64
	attempts uint16 // this one included
	before   uint16 // attempts without this one
	from     queue
	due      int64 // of one from fromDue, steady ms
}

// queue is where a booked message waited.
type queue uint8

const (
	fromFresh queue = iota // the cursor passed it for the first time
	fromDue
	fromReturned
)

// book appends to dst what h may deliver now, at most most messages, and
// counts it as in flight and tried once more. When there is nothing, h is
// parked. end is the cursor afterwards; unbook wants it back.
func (c *core) book(h *holder, now int64, most int, dst []booked) (batch []booked, end uint64) {
	if h.gone {
		return dst, c.cursor
	}
	c.wakeUp(now)
	c.moveDue(now)
	c.unpark(h)
	n := 0
	if !c.yields(h) {
		n = c.share(h, most)
	}
	if n <= 0 {
		c.park(h)
		c.wakeNext()
		return dst, c.cursor
	}
	deadline := now + h.timeout
	fresh, old := c.split(n)
	if c.freshTurn {
		dst = c.bookFresh(h, now, deadline, fresh, dst)
		dst = c.bookOld(h, now, deadline, old, dst)
	} else {
		dst = c.bookOld(h, now, deadline, old, dst)
		dst = c.bookFresh(h, now, deadline, fresh, dst)
	}
	if n&1 == 1 {
		c.freshTurn = !c.freshTurn
	}
	h.delivered += uint64(n)
	c.delivered[h.near] += uint64(n)
	c.setCredit(h, h.rdy, h.inFlight+int64(n))
	h.parked = h.credit() <= 0 // it need not look again to find nothing
	c.pending.dirty = c.pending.on
	c.wakeNext()
	return dst, c.cursor
}

// share is how many messages h may book: what it has credit for, and no more
// than its part when others that are as near have credit too.
func (c *core) share(h *holder, most int) int {
	credit, available := h.credit(), c.available()
	if credit <= 0 || available == 0 {
		return 0
	}
	others := uint64(c.rivals(h))
	part := (available + others - 1) / others
	return int(min(uint64(credit), uint64(most), part))
}

// split divides a booking of n messages between fresh ones and all others: by
// halves as long as there are enough of both.
func (c *core) split(n int) (fresh, old int) {
	fresh = max(half(n, c.freshTurn), n-c.due.len()-c.returned.len())
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

// bookFresh books the next n fresh messages.
func (c *core) bookFresh(h *holder, now, deadline int64, n int, dst []booked) []booked {
	c.waiting -= uint64(n)
	for n > 0 {
		end := c.fanOut
		if r, ok := c.skip.front(); ok {
			end = min(end, r.From)
		}
		end = min(end, c.cursor+uint64(n))
		n -= int(end - c.cursor)
		for ; c.cursor < end; c.cursor++ {
			c.flight.add(h, again{seq: c.cursor, attempts: 1}, now, deadline)
			dst = append(dst, booked{seq: c.cursor, attempts: 1, from: fromFresh})
		}
		c.skipOver()
	}
	return dst
}

// bookOld books n due and returned messages: by halves as long as there are
// enough of both.
func (c *core) bookOld(h *holder, now, deadline int64, n int, dst []booked) []booked {
	if n == 0 {
		return dst
	}
	due := min(max(half(n, c.dueTurn), n-c.returned.len()), c.due.len())
	if c.dueTurn {
		dst = c.bookDue(h, now, deadline, due, dst)
		dst = c.bookReturned(h, now, deadline, n-due, dst)
	} else {
		dst = c.bookReturned(h, now, deadline, n-due, dst)
		dst = c.bookDue(h, now, deadline, due, dst)
	}
	if n&1 == 1 {
		c.dueTurn = !c.dueTurn
	}
	return dst
}

// bookDue books the next n due messages, by due time.
func (c *core) bookDue(h *holder, now, deadline int64, n int, dst []booked) []booked {
	for range n {
		d := c.due.pop()
		dst = append(dst, c.bookAgain(h, now, deadline, d.message(), booked{from: fromDue, due: d.dueMs()}))
	}
	return dst
}

// bookReturned books the next n returned messages; they are read in the order
// of the log.
func (c *core) bookReturned(h *holder, now, deadline int64, n int, dst []booked) []booked {
	start := len(dst)
	for range n {
		dst = append(dst, c.bookAgain(h, now, deadline, c.returned.popFront(), booked{from: fromReturned}))
	}
	slices.SortFunc(dst[start:], func(a, b booked) int { return cmp.Compare(a.seq, b.seq) })
	return dst
}

// bookAgain books m, of whose booking b says the rest.
func (c *core) bookAgain(h *holder, now, deadline int64, m again, b booked) booked {
	b.seq, b.attempts, b.before = m.seq, m.attempts, m.attempts
	if b.attempts < math.MaxUint16 {
		b.attempts++
	}
	m.attempts = b.attempts
	c.flight.add(h, m, now, deadline)
	c.pending.open(m.seq, m.attempts, 0)
	return b
}

// unbook takes back rest, the last messages of a booking of h that gave end:
// they were not delivered after all. Fresh ones become fresh again if the
// cursor has not moved on since, else they are the first to be returned; due
// ones are due as before.
func (c *core) unbook(h *holder, rest []booked, end uint64) {
	c.amend(rest)
	rewind := c.cursor == end
	for i := len(rest) - 1; i >= 0; i-- {
		b := rest[i]
		c.undelivered(h, 1)
		e := c.flight.find(b.seq)
		if e == 0 || c.flight.at(e).owner != h.index || h.gone {
			// Timed out, emptied or void meanwhile. What is not done must not
			// get above the cursor, where it would count as fresh.
			rewind = rewind && (b.from != fromFresh || c.acked.Contains(b.seq))
			continue
		}
		m := c.land(e)
		m.attempts = b.before
		switch {
		case b.from == fromFresh && rewind:
			c.skip.add(seqset.Range{From: b.seq + 1, To: c.cursor})
			c.cursor = b.seq
			c.waiting++
			continue
		case b.from == fromDue:
			c.makeDue(newDeferral(m, b.due))
		default:
			c.returned.pushFront(m)
		}
		c.pending.open(m.seq, m.attempts, b.due)
	}
	c.pending.dirty = c.pending.on
	c.wakeNext()
}

// amend gives the next turn to the kind that came off badly in a booking whose
// last messages rest were not delivered: the other kind was first.
func (c *core) amend(rest []booked) {
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

// undelivered takes n messages that h had booked out of the count: h did not
// get them.
func (c *core) undelivered(h *holder, n int) {
	h.delivered -= uint64(n)
	c.delivered[h.near] -= uint64(n)
}

// rest stops delivery for a while because a message could not be read; each
// time twice as long as before, until readAgain.
func (c *core) rest(now int64) {
	if c.resting {
		return // several consumers failed at the same place
	}
	c.restPause = min(max(2*c.restPause, restMin), restMax)
	c.resting = true
	c.restUntil = now + c.restPause
}

// readAgain notes that messages can be read.
func (c *core) readAgain() {
	c.restPause = 0
	c.resting = false
	c.wakeNext()
}

// readable says that nothing is known that cannot be read.
func (c *core) readable() bool { return c.restPause == 0 && c.barred == nil }

// wakeUp ends a rest whose time is over, and tries again what is barred.
func (c *core) wakeUp(now int64) {
	if c.barred != nil { // retry takes a long stack, which each delivery would have to grow
		c.retry(now)
	}
	if c.resting && now >= c.restUntil {
		c.resting = false
	}
}
