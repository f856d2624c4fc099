package channel

import (
	"cmp"
	"fmt"

	"qmq/internal/seqset"
)

// check returns the first thing that is wrong with the core, or nil.
func (c *core) check() error {
	for _, f := range []func() error{c.checkPositions, c.checkStates, c.flight.check, c.checkDeferred, c.checkHolders} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (c *core) checkPositions() error {
	if f := c.floor(); f > c.cursor || c.cursor > c.fanOut {
		return fmt.Errorf("floor %d, cursor %d, fan-out %d", f, c.cursor, c.fanOut)
	}
	last := seqset.Range{}
	for i, r := range c.skip.all() {
		if r.From >= r.To || i > 0 && r.From <= last.To {
			return fmt.Errorf("skip range %v after %v", r, last)
		}
		if i == 0 && (r.To <= c.cursor || r.From <= c.cursor && c.cursor != c.fanOut) {
			return fmt.Errorf("cursor %d stands in or above skip range %v", c.cursor, r)
		}
		last = r
	}
	if n := c.fanOut - c.cursor - c.skip.overlap(c.cursor, c.fanOut); n != c.waiting {
		return fmt.Errorf("%d fresh messages, counted %d", n, c.waiting)
	}
	return nil
}

// places maps every message that was given out or deferred and is not done to
// where it is.
func (c *core) places() (map[uint64]string, error) {
	at := map[uint64]string{}
	var err error
	put := func(seq uint64, where string) {
		if old, taken := at[seq]; taken {
			err = fmt.Errorf("%d is %s and %s", seq, old, where)
		}
		if c.acked.Contains(seq) {
			err = fmt.Errorf("%d is acknowledged and %s", seq, where)
		}
		if seq >= c.fanOut || seq >= c.cursor && c.skip.overlap(seq, seq+1) == 0 {
			err = fmt.Errorf("%d is %s, but the cursor is going to get there", seq, where)
		}
		at[seq] = where
	}
	c.flight.each(func(_ uint32, e *entry) { put(e.seq, "in flight") })
	for i := range c.returned.len() {
		put(c.returned.at(i).seq, "returned")
	}
	c.due.each(func(d deferral) { put(d.message().seq, "due") })
	for s := c.barred; s != nil; s = s.next {
		for _, m := range s.again {
			put(m.seq, "barred")
		}
		for _, r := range s.fresh {
			for seq := r.From; seq < r.To; seq++ {
				put(seq, "barred")
			}
		}
	}
	c.deferred.each(func(d deferral) { put(d.message().seq, "deferred") })
	return at, err
}

func (c *core) checkStates() error {
	at, err := c.places()
	if err != nil {
		return err
	}
	below := 0
	for seq := range c.acked.Open(0, c.cursor) {
		if _, ok := at[seq]; !ok {
			return fmt.Errorf("%d below the cursor is nowhere", seq)
		}
		below++
	}
	skipped := uint64(len(at) - below)
	for r := range c.acked.Ranges() {
		r.From = max(r.From, c.cursor)
		r.To = min(r.To, c.fanOut)
		if r.From >= r.To {
			continue
		}
		if c.skip.overlap(r.From, r.To) != r.Len() {
			return fmt.Errorf("%v is acknowledged, but the cursor is going to get there", r)
		}
		skipped += r.Len()
	}
	if n := c.skip.overlap(c.cursor, c.fanOut); n != skipped {
		return fmt.Errorf("the cursor skips %d numbers, should skip %d", n, skipped)
	}
	return nil
}

func (f *inflight) check() error {
	n := 0
	var err error
	f.each(func(i uint32, e *entry) {
		n++
		if f.find(e.seq) != i {
			err = fmt.Errorf("%d in flight is not found", e.seq)
		}
		if e.deadline < f.due {
			err = fmt.Errorf("deadline %d of %d before %d", e.deadline, e.seq, f.due)
		}
	})
	slots := 0
	for _, i := range f.table.slots {
		if i != 0 {
			slots++
		}
	}
	if err == nil && (n != f.n || slots != n) {
		err = fmt.Errorf("%d in flight, counted %d, %d slots", n, f.n, slots)
	}
	free := 0
	for i := f.free; i != 0; i = f.at(i).next {
		free++
	}
	if err == nil && free+n+1 != int(f.used) {
		err = fmt.Errorf("%d free and %d used entries of %d", free, n, f.used)
	}
	for _, h := range f.holders {
		if err == nil && h != nil {
			err = f.checkHolder(h)
		}
	}
	return err
}

func (f *inflight) checkHolder(h *holder) error {
	n := int64(0)
	prev := uint32(0)
	for i := h.head; i != 0; i = f.at(i).next {
		e := f.at(i)
		if e.prev != prev || e.owner != h.index || e.flags&(flagLive|flagTouched) != flagLive {
			return fmt.Errorf("%d is linked wrongly: %+v", e.seq, *e)
		}
		if prev != 0 && f.at(prev).deadline > e.deadline {
			return fmt.Errorf("%d times out before its predecessor", e.seq)
		}
		prev = i
		n++
	}
	if h.tail != prev {
		return fmt.Errorf("tail %d, last %d", h.tail, prev)
	}
	for place, i := range h.touched {
		e := f.at(i)
		if e.next != uint32(place) || e.owner != h.index || e.flags&(flagLive|flagTouched) != flagLive|flagTouched {
			return fmt.Errorf("%d is out of place in the heap: %+v", e.seq, *e)
		}
		if place > 0 && f.before(i, h.touched[(place-1)/2]) {
			return fmt.Errorf("%d is due before its parent", e.seq)
		}
		n++
	}
	if n != h.inFlight {
		return fmt.Errorf("holder %d has %d in flight, counted %d", h.index, n, h.inFlight)
	}
	return nil
}

func (c *core) checkDeferred() error { return cmp.Or(c.due.check(), c.deferred.check()) }

func (h *deferredHeap) check() error {
	var err error
	i := 0
	h.each(func(d deferral) {
		if i > 0 && d.before(*h.at((i - 1) / 4)) {
			err = fmt.Errorf("deferral of %d is due before its parent", d.message().seq)
		}
		i++
	})
	if err == nil && i != h.n {
		err = fmt.Errorf("%d deferred, counted %d", i, h.n)
	}
	return err
}

func (c *core) checkHolders() error {
	credit, woken, idle := 0, 0, 0
	for i, h := range c.flight.holders {
		if h == nil {
			continue
		}
		if h.index != uint32(i) || h.gone || h.queued != (h.parked && h.credit() > 0) || h.woken && h.parked {
			return fmt.Errorf("holder %d: %+v", i, *h)
		}
		if h.credit() > 0 {
			credit++
		}
		if h.woken {
			woken++
		}
		if h.queued {
			idle++
		}
	}
	queued := 0
	for h := c.idle.head; h != nil; h = h.idleNext {
		queued++
	}
	if credit != c.withCredit || woken != c.woken || idle != queued {
		return fmt.Errorf("%d with credit, %d woken, %d idle; counted %d, %d, %d", credit, woken, idle, c.withCredit, c.woken, queued)
	}
	if idle > 0 && c.available() > 0 && woken == 0 {
		return fmt.Errorf("%d messages wait, %d consumers are idle and none was woken", c.available(), idle)
	}
	return nil
}
