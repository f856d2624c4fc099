package channel

import (
	"slices"

	"qmq/internal/seqset"
)

// stretch is a run of messages that cannot be read now. They are set aside, so
// that all others of the channel go on. Every now and then one of them is tried:
// when it can be read, all are returned. How long to try is the log's to say:
// in the end it tells that they are lost, and they become void.
//
// A restart forgets that those of fresh were never delivered.
type stretch struct {
	seqset.Range
	fresh []seqset.Range // what the cursor had not reached; it skips them
	again []again        // the others
	until int64          // when the next one is tried, steady ns
	pause int64          // until the next try, ns; each time twice as long
	// readable says that one was read: all are returned, as time allows.
	readable bool
	next     *stretch // in core.barred
}

// len is how many messages are set aside.
func (s *stretch) len() uint64 {
	n := uint64(len(s.again))
	for _, r := range s.fresh {
		n += r.Len()
	}
	return n
}

// barredLen is how many messages are set aside in all stretches.
func (c *core) barredLen() (n uint64) {
	for s := c.barred; s != nil; s = s.next {
		n += s.len()
	}
	return n
}

// bar sets aside the messages in r, which cannot be read now. Those that h has
// booked for it and that could not be delivered are among aside.
func (c *core) bar(h *holder, aside []booked, r seqset.Range, now int64) {
	s := c.stretchOf(r)
	if s.readable || s.pause == 0 {
		s.readable, s.pause, s.until = false, restMin, now+restMin
	}
	for _, b := range aside {
		if b.seq < r.From || b.seq >= r.To {
			continue
		}
		e := c.flight.find(b.seq)
		if e == 0 || c.flight.at(e).owner != h.index || h.gone {
			continue // timed out, emptied or void meanwhile
		}
		m := c.land(e)
		m.attempts = b.before
		s.again = append(s.again, m)
		c.pending.open(m.seq, m.attempts, b.due)
	}
	s.again = c.returned.extract(r, s.again)
	s.again = c.due.extract(r, s.again)
	c.barFresh(s)
	c.pending.dirty = c.pending.on
	c.wakeNext()
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

// barFresh sets the fresh messages of s aside.
func (c *core) barFresh(s *stretch) {
	at, end := max(s.From, c.cursor), min(s.To, c.fanOut)
	var gaps []seqset.Range
	for _, r := range c.skip.all() {
		if at >= end || r.From >= end {
			break
		}
		if at < r.From {
			gaps = append(gaps, seqset.Range{From: at, To: r.From})
		}
		at = max(at, r.To)
	}
	if at < end {
		gaps = append(gaps, seqset.Range{From: at, To: end})
	}
	for _, gap := range gaps {
		c.skip.add(gap)
		c.waiting -= gap.Len()
	}
	s.fresh = append(s.fresh, gaps...)
	c.skipOver()
}

// retry returns one message of each stretch whose time has come, and those of
// stretches that can be read again, moveMost at most.
func (c *core) retry(now int64) {
	for at := &c.barred; *at != nil; {
		s := *at
		switch {
		case s.readable:
			for n := 0; n < moveMost && c.returnOne(s); n++ {
			}
		case now < s.until:
		case c.withCredit == 0:
			s.until = now + restMax // nobody would try it
		default:
			c.returnOne(s)
			s.pause = min(2*s.pause, restMax)
			s.until = now + s.pause
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
	var m again
	switch {
	case len(s.again) > 0:
		m = s.again[0]
		s.again = s.again[1:]
	case len(s.fresh) > 0:
		m.seq = s.fresh[0].From
		if s.fresh[0].From++; s.fresh[0].Len() == 0 {
			s.fresh = s.fresh[1:]
		}
	default:
		return false
	}
	if s.readable {
		c.returned.pushBack(m)
	} else {
		c.returned.pushFront(m)
	}
	return true
}

// wasRead notes that the message seq could be read.
func (c *core) wasRead(seq uint64) {
	for s := c.barred; s != nil; s = s.next {
		if s.From <= seq && seq < s.To {
			s.readable, s.until = true, 0
		}
	}
}

// unbar forgets the messages in [from, to).
func (c *core) unbar(from, to uint64) {
	for at := &c.barred; *at != nil; {
		s := *at
		s.again = slices.DeleteFunc(s.again, func(m again) bool { return from <= m.seq && m.seq < to })
		var fresh []seqset.Range
		for _, r := range s.fresh {
			for _, part := range [...]seqset.Range{{From: r.From, To: min(r.To, from)}, {From: max(r.From, to), To: r.To}} {
				if part.From < part.To {
					fresh = append(fresh, part)
				}
			}
		}
		s.fresh = fresh
		if from <= s.From && s.To <= to {
			*at = s.next
			continue
		}
		at = &s.next
	}
}
