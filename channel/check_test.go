package channel

import (
	"fmt"
	"math"

	"qmq/internal/dueheap"
	"qmq/internal/seqset"
)

// check returns the first thing that is wrong with the core, or nil.
func (c *core) check() error {
	for _, f := range []func() error{c.checkPositions, c.checkStates, c.flight.check, c.checkDeferred, c.checkHolders, c.checkOrder} {
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
	for i, r := range c.skip.All() {
		if r.From >= r.To || i > 0 && r.From <= last.To {
			return fmt.Errorf("skip range %v after %v", r, last)
		}
		if i == 0 && (r.To <= c.cursor || r.From <= c.cursor && c.cursor != c.fanOut) {
			return fmt.Errorf("cursor %d stands in or above skip range %v", c.cursor, r)
		}
		last = r
	}
	if n := c.freshN(); n != c.waiting {
		return fmt.Errorf("%d fresh messages, counted %d", n, c.waiting)
	}
	return nil
}

// freshN counts the fresh messages.
func (c *core) freshN() (n uint64) {
	if c.conf.ahead == nil {
		return c.fanOut - c.cursor - c.skip.Overlap(c.cursor, c.fanOut)
	}
	for seq := c.nextFresh(0); seq < c.fanOut; seq = c.nextFresh(seq + 1) {
		n++
	}
	return n
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
		if seq >= c.fanOut || seq >= c.cursor && c.nextFresh(seq) == seq {
			err = fmt.Errorf("%d is %s, but the cursor is going to get there", seq, where)
		}
		at[seq] = where
	}
	c.flight.each(func(_ uint32, seq uint64, _ *entry) { put(seq, "in flight") })
	for i := range c.returned.Len() {
		put(c.returned.At(i).seq, "returned")
	}
	c.due.Each(func(i dueheap.Item) { put(i.Seq, "due") })
	for s := c.barred; s != nil; s = s.next {
		for _, m := range s.redeliveries {
			put(m.seq, "barred")
		}
		for _, r := range s.fresh {
			for seq := r.From; seq < r.To; seq++ {
				put(seq, "barred")
			}
		}
	}
	c.deferred.Each(func(i dueheap.Item) { put(i.Seq, "deferred") })
	for _, x := range c.conf.spent.waiting {
		put(x.seq, "spent")
	}
	if a := c.conf.ahead; a != nil {
		a.order.eachOld(func(m redelivery, w wait) { put(m.seq, [...]string{"returned", "due"}[w]) })
	}
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
		if c.nextFresh(r.From) < r.To {
			return fmt.Errorf("%v is acknowledged, but the cursor is going to get there", r)
		}
		skipped += r.Len()
	}
	if n := c.fanOut - c.cursor - c.freshN(); n != skipped {
		return fmt.Errorf("the cursor skips %d numbers, should skip %d", n, skipped)
	}
	return nil
}

func (f *inflight) check() error {
	n := 0
	var err error
	f.each(func(i uint32, seq uint64, e *entry) {
		n++
		if f.find(seq) != i {
			err = fmt.Errorf("%d in flight is not found", seq)
		}
		if e.deadline < f.due {
			err = fmt.Errorf("deadline %d of %d before %d", e.deadline, seq, f.due)
		}
	})
	if err == nil && n != f.len() {
		err = fmt.Errorf("%d in flight, counted %d", n, f.len())
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
		if e.prev != prev || e.owner != h.index || e.touched {
			return fmt.Errorf("%d is linked wrongly: %+v", f.entries.Seq(i), *e)
		}
		if prev != 0 && f.at(prev).deadline > e.deadline {
			return fmt.Errorf("%d times out before its predecessor", f.entries.Seq(i))
		}
		prev = i
		n++
	}
	if h.tail != prev {
		return fmt.Errorf("tail %d, last %d", h.tail, prev)
	}
	for place, i := range h.touched {
		e := f.at(i)
		if e.next != uint32(place) || e.owner != h.index || !e.touched {
			return fmt.Errorf("%d is out of place in the heap: %+v", f.entries.Seq(i), *e)
		}
		if place > 0 && f.before(i, h.touched[(place-1)/2]) {
			return fmt.Errorf("%d is due before its parent", f.entries.Seq(i))
		}
		n++
	}
	if n != h.inFlight {
		return fmt.Errorf("holder %d has %d in flight, counted %d", h.index, n, h.inFlight)
	}
	return nil
}

func (c *core) checkDeferred() error {
	if c.due == noneDue && noneDue.Len() != 0 {
		return fmt.Errorf("%d messages are due in what all channels share", noneDue.Len())
	}
	for _, h := range []*dueheap.Heap{c.due, &c.deferred} {
		n, last := 0, int64(math.MinInt64)
		for i := range h.InOrder() {
			if i.Due < last {
				return fmt.Errorf("%d is due at %d, but comes after %d", i.Seq, i.Due, last)
			}
			last = i.Due
			n++
		}
		if n != h.Len() {
			return fmt.Errorf("%d deferred, counted %d", n, h.Len())
		}
	}
	return nil
}

func (c *core) checkHolders() error {
	credit, woken, idle := int32(0), int32(0), 0
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
