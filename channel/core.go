package channel

import (
	"cmp"
	"math"
	"slices"

	"qmq/internal/seqset"
	"qmq/message"
)

// core decides who gets which message and when. It is plain code: it takes no
// lock, starts no goroutine and reads no clock; now is steady time in ns.
//
// Every number below fanOut is in one of seven states. Fresh ones are at or
// above the cursor and outside skip. The others are acknowledged (or void, or
// dropped), in flight, returned (they came back and may be delivered again),
// deferred, due (they were deferred and may be delivered), or barred (they
// cannot be read now); those at or above the cursor are in skip, so that the
// cursor passes them over.
type core struct {
	acked  *seqset.Set
	cursor uint64 // a fresh message, or fanOut
	fanOut uint64
	skip   skipList
	// waiting is the number of fresh messages.
	waiting uint64

	flight   *inflight // noneInFlight until the first consumer joins
	returned returnedQueue
	due      *deferredHeap // noneDue until there is one
	barred   *stretch      // a list, mostly nil
	deferred deferredHeap

	limit      int   // of waiting messages; 0 = none
	maxTimeout int64 // ns a message may be in flight, however often touched
	maxDelay   int64 // ns a message may be deferred by a requeue

	// freshTurn says whether fresh messages come before all others at the next
	// booking, dueTurn whether due ones come before returned ones.
	freshTurn bool
	dueTurn   bool
	paused    bool
	closed    bool
	timed     bool  // see inflight.timed
	resting   bool  // nothing is given out: messages cannot be read now
	restUntil int64 // steady ns
	restPause int64 // length of this rest, ns; 0 when the last read worked

	idle       idleQueue
	woken      int // how many consumers were woken and have not come yet
	withCredit int // how many consumers have credit
	// Of woken and withCredit, those of each nearness.
	wokenNear, creditNear [nearnesses]int32

	messages, requeued, timedOut uint64 // since the start of the process
	delivered                    [nearnesses]uint64

	pending pending
}

const (
	restMin = 100 * 1e6 // ns, after the first failed read
	restMax = 5 * 1e9   // ns
)

// limits bound what messages and consumers of a core may do.
type limits struct {
	waiting    int   // see core.limit
	maxTimeout int64 // see core.maxTimeout
	maxDelay   int64 // see core.maxDelay
	journalled bool  // changes are recorded for the journal
	timed      bool  // see inflight.timed
}

func newCore(l limits, start uint64) *core {
	return &core{
		acked: seqset.New(start), cursor: start, fanOut: start,
		flight: noneInFlight, timed: l.timed, due: noneDue, dueTurn: true,
		limit: l.waiting, maxTimeout: l.maxTimeout, maxDelay: l.maxDelay,
		pending: pending{on: l.journalled},
	}
}

// floor is the smallest number that is not acknowledged, at most the cursor.
func (c *core) floor() uint64 { return min(c.acked.Floor(), c.cursor) }

// depth is what a new consumer could get now, and what would be if it could be
// read.
func (c *core) depth() uint64 { return c.ready() + c.barredLen() }

// ready is how many messages may be booked.
func (c *core) ready() uint64 { return c.waiting + uint64(c.due.len()+c.returned.len()) }

// advance moves the fan-out position to fanOut. delayed are the delayed
// messages among the new ones, ascending, shift is what added to a stored time
// (ms) makes it steady.
func (c *core) advance(now int64, fanOut uint64, delayed []message.Mark, shift int64) {
	if fanOut <= c.fanOut {
		return
	}
	from := c.fanOut
	c.fanOut = fanOut
	c.messages += fanOut - from - c.skip.overlap(from, fanOut)
	for _, d := range delayed {
		if d.Seq < from || d.Seq >= fanOut || c.acked.Contains(d.Seq) {
			continue
		}
		c.skip.add(seqset.Range{From: d.Seq, To: d.Seq + 1})
		c.postpone(now, again{seq: d.Seq, delayed: true}, d.DeliverAt+shift)
	}
	c.waiting += fanOut - from - c.skip.overlap(from, fanOut)
	if c.limit > 0 && c.depth() > uint64(c.limit) {
		c.drop(from, c.depth()-uint64(c.limit))
	}
	c.skipOver()
	c.wakeNext()
}

// drop acknowledges the newest n of the fresh messages at or above from; when
// there are fewer, all of them.
func (c *core) drop(from, n uint64) {
	for _, gap := range c.skip.lastGaps(from, c.fanOut, n) {
		c.acked.AddRange(gap.From, gap.To)
		c.pending.acked(gap)
		c.skip.add(gap)
		c.waiting -= gap.Len()
	}
}

// postpone defers m until the steady time due (ms), which may have passed.
func (c *core) postpone(now int64, m again, due int64) {
	if due <= now/1e6 {
		c.makeDue(newDeferral(m, due))
		return
	}
	c.deferred.push(newDeferral(m, due))
}

// makeDue has d wait to be delivered.
func (c *core) makeDue(d deferral) {
	if c.due == noneDue {
		c.due = new(deferredHeap)
	}
	c.due.push(d)
}

// moveMost bounds how many messages moveDue and timeOut each move, to hold the
// lock under 1 ms: a million may be due in the same second.
const moveMost = 1024

// moveDue takes the deferred messages that are due to where they wait to be
// delivered, moveMost at most.
func (c *core) moveDue(now int64) {
	for n := 0; n < moveMost && c.deferred.len() > 0 && c.deferred.next().dueMs() <= now/1e6; n++ {
		c.makeDue(c.deferred.pop())
	}
}

// skipOver moves the cursor to the next fresh message or to fanOut.
func (c *core) skipOver() {
	for {
		r, ok := c.skip.front()
		if !ok || r.From > c.cursor {
			return
		}
		if r.To > c.fanOut {
			c.cursor = c.fanOut
			return
		}
		c.cursor = max(c.cursor, r.To)
		c.skip.popFront()
	}
}

// void makes the numbers in [from, to) count as acknowledged, also those at or
// above fanOut.
func (c *core) void(from, to uint64) {
	from = max(from, c.floor())
	if from >= to {
		return
	}
	if low, high := max(from, c.cursor), min(to, c.fanOut); low < high {
		c.waiting -= high - low - c.skip.overlap(low, high)
	}
	c.skip.add(seqset.Range{From: max(from, c.cursor), To: to})
	c.landRange(from, to)
	c.returned.removeRange(from, to)
	c.due.removeRange(from, to)
	c.deferred.removeRange(from, to)
	c.unbar(from, to)
	c.acked.AddRange(from, to)
	c.pending.acked(seqset.Range{From: from, To: to})
	c.skipOver()
	c.wakeNext()
}

// landRange takes the messages in [from, to) out of flight.
func (c *core) landRange(from, to uint64) {
	var there []uint64
	if to-from < uint64(c.flight.n) {
		for seq := from; seq < to; seq++ {
			if c.flight.find(seq) != 0 {
				there = append(there, seq)
			}
		}
	} else {
		c.flight.each(func(_ uint32, e *entry) {
			if from <= e.seq && e.seq < to {
				there = append(there, e.seq)
			}
		})
	}
	for _, seq := range there {
		c.land(c.flight.find(seq))
	}
}

// land takes the entry i out of flight, which gives its holder credit back.
func (c *core) land(i uint32) again {
	h := c.flight.holders[c.flight.at(i).owner]
	m := c.flight.remove(i)
	c.setCredit(h, h.rdy, h.inFlight-1)
	return m
}

// emptyBelow acknowledges everything below fanOut and below to.
func (c *core) emptyBelow(to uint64) {
	if to < c.fanOut {
		c.void(c.floor(), to)
		return
	}
	c.empty()
}

// empty acknowledges everything below fanOut.
func (c *core) empty() {
	c.pending.acked(seqset.Range{From: c.floor(), To: c.fanOut})
	c.acked.AddRange(c.acked.Floor(), c.fanOut)
	for _, h := range c.flight.holders {
		if h != nil {
			c.setCredit(h, h.rdy, 0)
		}
	}
	c.flight.clear()
	c.returned = returnedQueue{}
	c.due = noneDue
	c.barred = nil
	c.deferred = deferredHeap{}
	c.waiting = 0
	c.cursor = c.fanOut
	for r, ok := c.skip.front(); ok && r.To <= c.fanOut; r, ok = c.skip.front() {
		c.skip.popFront()
	}
	c.wakeNext()
}

func (c *core) setPaused(paused bool) {
	c.paused = paused
	c.wakeNext()
}

// next is when the core has to be called again, at the latest: a deferred
// message is due, one in flight times out, or a rest ends. math.MaxInt64 means
// never.
func (c *core) next() int64 {
	at := int64(math.MaxInt64)
	if c.flight.n > 0 {
		at = c.flight.due
	}
	if c.deferred.len() > 0 {
		at = min(at, c.deferred.next().dueMs()*1e6)
	}
	if c.resting {
		at = min(at, c.restUntil)
	}
	for s := c.barred; s != nil; s = s.next {
		at = min(at, s.until)
	}
	return at
}

func sortBySeq(ms []again) {
	slices.SortFunc(ms, func(a, b again) int { return cmp.Compare(a.seq, b.seq) })
}
