package channel

import (
	"slices"

	"qmq/internal/seqset"
)

// stretch is a run of messages that cannot be read now. They are detached, so
// that all others of the channel go on. Every now and then one of them is tried:
// when it can be read, all are returned. How long to try is the log's to say:
// in the end it tells that they are lost, and they become void.
//
// A restart forgets that those of fresh were never delivered.
type stretch struct {
	seqset.Range
	fresh        []seqset.Range // what the cursor had not reached; it skips them
	redeliveries []redelivery   // the others
	retryAt      int64          // when the next one is tried, steady ns
	backoff      int64          // until the next try, ns; each time twice as long
	// readable says that one was read: all are returned, as time allows.
	readable bool
	next     *stretch // in core.barred
}

// len is how many messages are detached.
func (s *stretch) len() uint64 {
	n := uint64(len(s.redeliveries))
	for _, r := range s.fresh {
		n += r.Len()
	}
	return n
}

// barredLen is how many messages are detached in all stretches.
func (c *core) barredLen() (n uint64) {
	for s := c.barred; s != nil; s = s.next {
		n += s.len()
	}
	return n
}

// bar detaches the messages in r, which cannot be read now. Those that are
// reserved for h and that could not be delivered are among detached.
func (c *core) bar(h *holder, detached []reservation, r seqset.Range, now int64) {
	if c.conf.ahead != nil {
		c.giveBackUnread(h, detached, r)
		return
	}
	s := c.stretchOf(r)
	if s.readable || s.backoff == 0 {
		s.readable, s.backoff, s.retryAt = false, minBackoff, now+minBackoff
	}
	for _, b := range detached {
		if !holds(r, b.seq) {
			continue
		}
		e := c.flight.find(b.seq)
		if e == 0 || c.flight.at(e).owner != h.index || h.gone {
			continue // timed out, emptied or void meanwhile
		}
		m := c.removeInFlight(e)
		m.attempts = b.before
		s.redeliveries = append(s.redeliveries, m)
		c.pending.open(m.seq, m.attempts, b.due)
	}
	s.redeliveries = extractReturned(&c.returned, r, s.redeliveries)
	s.redeliveries = extractDue(c.due, r, s.redeliveries)
	c.barFresh(s)
	c.pending.dirty = c.pending.on
}

// giveBackUnread has those of detached that are in r wait as if they had not been given
// out. Messages are to come in an order since they were reserved, in which what
// cannot be read is waited for and nothing is barred.
func (c *core) giveBackUnread(h *holder, detached []reservation, r seqset.Range) {
	for _, b := range slices.Backward(detached) {
		if !holds(r, b.seq) {
			continue
		}
		e := c.flight.find(b.seq)
		if e == 0 || c.flight.at(e).owner != h.index || h.gone {
			continue // timed out, emptied or void meanwhile
		}
		m := c.removeInFlight(e)
		m.attempts = b.before
		c.comeBackFirst(m)
		c.pending.open(m.seq, m.attempts, b.due)
	}
	c.pending.dirty = c.pending.on
}

// stretchOf finds the stretch that r is part of, or makes one.
func (c *core) stretchOf(r seqset.Range) *stretch {
	for s := c.barred; s != nil; s = s.next {
		if s.From < r.To && r.From < s.To {
			s.Range = seqset.Range{From: min(s.From, r.From), To: max(s.To, r.To)}
			return s
		}
	}
	c.barred = &stretch{Range: r, next: c.barred}
	return c.barred
}

// barFresh detaches the fresh messages of s.
func (c *core) barFresh(s *stretch) {
	c.skipTaken()
	gaps := c.skip.Gaps(max(s.From, c.cursor), min(s.To, c.fanOut))
	for _, gap := range gaps {
		c.skip.Add(gap)
		c.waiting -= gap.Len()
	}
	s.fresh = append(s.fresh, gaps...)
	c.skipOver()
}

// retry returns one message of each stretch whose time has come, and those of
// stretches that can be read again, maxMoves at most.
func (c *core) retry(now int64) {
	for at := &c.barred; *at != nil; {
		s := *at
		switch {
		case s.readable:
			for n := 0; n < maxMoves && c.returnOne(s); n++ {
			}
		case now < s.retryAt:
		case c.withCredit == 0:
			s.retryAt = now + maxBackoff // nobody would try it
		default:
			c.returnOne(s)
			s.backoff = min(2*s.backoff, maxBackoff)
			s.retryAt = now + s.backoff
		}
		if s.len() == 0 && (s.readable || !c.owes(s.Range)) {
			*at = s.next
			continue
		}
		at = &s.next
	}
}

// owes says whether a number of r is not acknowledged.
func (c *core) owes(r seqset.Range) bool {
	gaps, next := c.acked.Gaps(nil, r.From, r.To, 1)
	return len(gaps) > 0 || next < r.To
}

// returnOne returns a message of s; false means that there is none.
func (c *core) returnOne(s *stretch) bool {
	var m redelivery
	switch {
	case len(s.redeliveries) > 0:
		m = s.redeliveries[0]
		s.redeliveries = s.redeliveries[1:]
	case len(s.fresh) > 0:
		m.seq = s.fresh[0].From
		if s.fresh[0].From++; s.fresh[0].Len() == 0 {
			s.fresh = s.fresh[1:]
		}
	default:
		return false
	}
	if s.readable {
		c.returned.PushBack(m)
	} else {
		c.returned.PushFront(m)
	}
	return true
}

// wasRead notes that the message seq could be read.
func (c *core) wasRead(seq uint64) {
	for s := c.barred; s != nil; s = s.next {
		if holds(s.Range, seq) {
			s.readable, s.retryAt = true, 0
		}
	}
}

// unbar forgets the messages in [from, to).
func (c *core) unbar(from, to uint64) {
	gone := seqset.Range{From: from, To: to}
	for at := &c.barred; *at != nil; {
		s := *at
		s.redeliveries = slices.DeleteFunc(s.redeliveries, func(m redelivery) bool { return holds(gone, m.seq) })
		s.fresh = seqset.Difference(s.fresh, []seqset.Range{gone})
		if from <= s.From && s.To <= to {
			*at = s.next
			continue
		}
		at = &s.next
	}
}
