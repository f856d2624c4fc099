package channel

import (
	"math"

	"qmq/internal/dueheap"
	"qmq/internal/ring"
	"qmq/internal/seqset"
	"qmq/message"
)

// core decides who gets which message and when. It is plain code: it takes no
// lock, starts no goroutine, wakes nobody and reads no clock; now is steady time
// in ns. Whoever has changed it asks wakeNext whom to wake.
//
// Every number below fanOut is in one of eight states. Fresh ones are at or
// above the cursor and outside skip. The others are acknowledged (or void, or
// dropped), in flight, returned (they came back and may be delivered again),
// deferred, due (they were deferred and may be delivered), barred (they
// cannot be read now), or spent (they go to the dead-letter topic); those at or
// above the cursor are in skip, so that the cursor passes them over.
type core struct {
	acked  *seqset.Set
	cursor uint64 // a fresh message, or fanOut
	fanOut uint64
	skip   seqset.List
	// waiting is the number of fresh messages.
	waiting uint64

	flight   *inflight // noneInFlight until the first consumer joins
	returned ring.Ring[redelivery]
	due      *dueheap.Heap // noneDue until there is one
	barred   *stretch      // a list, mostly nil
	deferred dueheap.Heap

	limit      int   // of waiting messages; 0 = none
	maxTimeout int64 // ns a message may be in flight, however often touched
	maxDelay   int64 // ns a message may be deferred by a requeue

	conf *configured // what the settings say; unconfigured until they say anything

	// freshTurn says whether fresh messages come before all others at the next
	// reservation, dueTurn whether due ones come before returned ones.
	freshTurn bool
	dueTurn   bool
	paused    bool
	closed    bool
	bounded   bool // the settings bound what is delivered

	backingOff   bool  // nothing is given out: messages cannot be read now
	backoffUntil int64 // steady ns
	backoff      int64 // how long in all, ns; 0 when the last read worked

	idle       idleQueue
	woken      int32 // how many consumers were woken and have not come yet
	withCredit int32 // how many consumers have credit
	// Of woken and withCredit, those of each locality.
	wokenByLocality, creditByLocality [localities]int32

	messages, requeued, timedOut uint64 // since the start of the process
	delivered                    [localities]uint64

	pending pending
}

// limits bound what messages and consumers of a core may do.
type limits struct {
	waiting    int   // see core.limit
	maxTimeout int64 // see core.maxTimeout
	maxDelay   int64 // see core.maxDelay
	journalled bool  // changes are recorded for the journal
}

func newCore(l limits, start uint64) *core {
	return &core{
		acked: seqset.New(start), cursor: start, fanOut: start,
		flight: noneInFlight, conf: unconfigured, due: noneDue, dueTurn: true,
		limit: l.waiting, maxTimeout: l.maxTimeout, maxDelay: l.maxDelay,
		pending: pending{on: l.journalled},
	}
}

// floor is the smallest number that is not acknowledged, at most the cursor.
func (c *core) floor() uint64 { return min(c.acked.Floor(), c.cursor) }

// depth is what a new consumer could get now, and what would be if it could be
// read.
func (c *core) depth() uint64 { return c.ready() + c.barredLen() + c.knownOld() }

// ready is how many messages may be reserved.
func (c *core) ready() uint64 { return c.waiting + uint64(c.due.Len()+c.returned.Len()) }

// advance moves the fan-out position to fanOut. delayed are the delayed
// messages among the new ones, ascending, shift is what added to a stored time
// (ms) makes it steady.
func (c *core) advance(now int64, fanOut uint64, delayed []message.Mark, shift int64) {
	if fanOut <= c.fanOut {
		return
	}
	from := c.fanOut
	c.fanOut = fanOut
	c.messages += fanOut - from - c.skip.Overlap(from, fanOut)
	for _, d := range delayed {
		if d.Seq < from || d.Seq >= fanOut || c.acked.Contains(d.Seq) {
			continue
		}
		c.skip.Add(seqset.Range{From: d.Seq, To: d.Seq + 1})
		c.postpone(now, redelivery{seq: d.Seq, delayed: true}, d.DeliverAt+shift)
	}
	c.waiting += fanOut - from - c.skip.Overlap(from, fanOut)
	if c.limit > 0 && c.depth() > uint64(c.limit) {
		c.drop(from, c.depth()-uint64(c.limit))
	}
	c.skipOver()
}

// drop acknowledges the newest n of the fresh messages at or above from; when
// there are fewer, all of them.
func (c *core) drop(from, n uint64) {
	for _, gap := range c.skip.LastGaps(from, c.fanOut, n) {
		c.acked.AddRange(gap.From, gap.To)
		c.pending.acked(gap)
		c.skip.Add(gap)
		c.waiting -= gap.Len()
	}
}

// postpone defers m until the steady time due (ms), which may have passed.
func (c *core) postpone(now int64, m redelivery, due int64) {
	if due <= now/1e6 {
		c.makeDue(m.dueAt(due))
		return
	}
	if m.attempts > 0 {
		c.underWay(m.seq)
	}
	c.deferred.Push(m.dueAt(due))
}

// noneDue is what all channels share in which nothing was ever due. It is never
// written to.
var noneDue = new(dueheap.Heap)

// makeDue has a message wait to be delivered.
func (c *core) makeDue(i dueheap.Item) {
	if c.conf.ahead != nil && i.Attempts > 0 { // it was delivered: others wait for it
		c.comeBack(deferred(i))
		c.pending.open(i.Seq, i.Attempts, 0)
		return
	}
	if c.due == noneDue {
		c.due = new(dueheap.Heap)
	}
	c.due.Push(i)
}

// maxMoves bounds how many messages moveDue and timeOut each move, to hold the
// lock under 1 ms: a million may be due in the same second.
const maxMoves = 1024

// moveDue takes the deferred messages that are due to where they wait to be
// delivered, maxMoves at most.
func (c *core) moveDue(now int64) {
	for n := 0; n < maxMoves && c.deferred.Len() > 0 && c.deferred.NextDue() <= now/1e6; n++ {
		c.makeDue(c.deferred.Pop())
	}
}

// skipOver moves the cursor to the next fresh message or to fanOut.
func (c *core) skipOver() {
	c.passSkip()
	for a := c.conf.ahead; a != nil && a.passTaken(c); {
		c.passSkip()
	}
}

// passSkip moves the cursor over what is in skip.
func (c *core) passSkip() {
	for {
		r, ok := c.skip.Front()
		if !ok || r.From > c.cursor {
			return
		}
		if r.To > c.fanOut {
			c.cursor = c.fanOut
			return
		}
		c.cursor = max(c.cursor, r.To)
		c.skip.PopFront()
	}
}

// void makes the numbers in [from, to) count as acknowledged, also those at or
// above fanOut.
func (c *core) void(from, to uint64) { c.voidAll([]seqset.Range{{From: from, To: to}}) }

// voidAll is void for ranges, ascending and disjoint. What waits is gone through once,
// however many there are of them.
func (c *core) voidAll(list []seqset.Range) {
	list = seqset.Union(c.aboveFloor(list))
	if len(list) == 0 {
		return
	}
	c.skipTaken()
	var skip []seqset.Range
	for _, r := range list {
		r.From = max(r.From, c.cursor)
		if high := min(r.To, c.fanOut); r.From < high {
			c.waiting -= high - r.From - c.skip.Overlap(r.From, high)
		}
		if r.From < r.To {
			skip = append(skip, r)
		}
	}
	c.skip.AddAll(skip)
	for _, r := range c.appendInFlight(nil, list) {
		c.removeInFlight(c.flight.find(r.From))
	}
	gone := func(seq uint64) bool { return seqset.Contains(list, seq) }
	c.returned.DeleteFunc(func(m redelivery) bool { return gone(m.seq) })
	c.due.RemoveFunc(func(i dueheap.Item) bool { return gone(i.Seq) })
	c.deferred.RemoveFunc(func(i dueheap.Item) bool { return gone(i.Seq) })
	c.removeSpent(gone)
	for _, r := range list {
		c.unbar(r.From, r.To)
		c.acked.AddRange(r.From, r.To)
		c.pending.acked(r)
	}
	if c.conf.ahead != nil && list[0].From < c.fanOut {
		c.conf.ahead.forget(gone)
	}
	c.skipOver()
}

// aboveFloor is a list without what lies below the floor.
func (c *core) aboveFloor(list []seqset.Range) (above []seqset.Range) {
	floor := c.floor()
	for _, r := range list {
		r.From = max(r.From, floor)
		above = append(above, r)
	}
	return above
}

// removeInFlight takes the entry i out of flight, which gives its holder credit back.
func (c *core) removeInFlight(i uint32) redelivery {
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
	if d := c.flight.discarded; d != nil {
		clear(d.doomed) // they are done
		d.ended = nil
	}
	c.returned = ring.Ring[redelivery]{}
	c.due = noneDue
	c.barred = nil
	c.deferred = dueheap.Heap{}
	c.removeSpent(func(uint64) bool { return true })
	c.waiting = 0
	c.cursor = c.fanOut
	c.forgetOrder()
	for r, ok := c.skip.Front(); ok && r.To <= c.fanOut; r, ok = c.skip.Front() {
		c.skip.PopFront()
	}
}

// next is when the core has to be called again, at the latest: a deferred
// message is due, one in flight times out, a backoff ends, or there are tokens again. math.MaxInt64 means
// never.
func (c *core) next() int64 {
	at := int64(math.MaxInt64)
	if c.flight.len() > 0 {
		at = c.flight.due
	}
	if c.deferred.Len() > 0 {
		at = min(at, c.deferred.NextDue()*1e6)
	}
	if c.backingOff {
		at = min(at, c.backoffUntil)
	}
	for s := c.barred; s != nil; s = s.next {
		at = min(at, s.retryAt)
	}
	if c.conf != unconfigured {
		at = min(at, c.conf.next())
	}
	return at
}
