package channel

import (
	"time"

	"qmq/internal/dueheap"
	"qmq/internal/names"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// Rewinding is a rewind that is about to be committed.
type Rewinding struct {
	// Start is the number from which on the channel gets everything again.
	Start uint64
	// Kept is what was given out below Start and is not done. It stays.
	Kept []seqset.Range
	// Version is above that of any Changes before Rewind is called, unless there are more
	// than versionGap until then. It is also the wall clock's time, ms, or somewhat above it.
	Version uint64
}

// versionGap is how many Changes may come between a PrepareRewind and its Rewind: they
// are 20 ms apart, at least.
const versionGap = 1 << 16

// PrepareRewind says what a rewind of this moment keeps. It changes nothing.
func (c *Channel) PrepareRewind(start uint64) Rewinding {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Rewinding{Start: min(start, c.core.fanOut)}
	r.Kept = c.core.keptBelow(r.Start)
	r.Version = max(c.version+versionGap, uint64(c.o.Clock.Wall()/1e6))
	return r
}

// Rewind has the channel begin anew at the number of a Rewinding that is committed: it
// gets all from there on again, as if for the first time, but what is void. Deliveries
// under way end. What was given out before that number and is not done stays, with its
// attempts, and is delivered when it is due; what was not given out before it is
// passed over. Voids, united, are all numbers that do not come, and delayed the delayed
// messages of the log from there on, ascending. The consumers stay. The topic's lock is held.
// Waiting is how many messages wait then, before a consumer takes the first.
func (c *Channel) Rewind(r Rewinding, voids []seqset.Range, delayed []message.Mark) (waiting int64) {
	now, shift := c.o.Clock.Now(), wallShift(c.o.Clock)
	c.mu.Lock()
	c.core.rewind(now, min(r.Start, c.core.fanOut), voids, delayed, -shift)
	c.version = max(c.version, r.Version)
	conf := c.core.ownConf()
	conf.rewound = r.Version
	conf.rewinds++
	waiting = int64(c.core.depth()) + int64(c.core.deferred.Len())
	c.tellReadable()
	c.unlock()
	return waiting
}

// claimable is for how long what a consumer was granted is claimed of a new server: what was
// granted before a rewind does not count after it.
const claimable = 20 * time.Second

// justRewound says that claims may be of before a rewind. The channel's lock is held.
func (c *Channel) justRewound() bool {
	at := c.core.conf.rewound
	return at > 0 && c.o.Clock.Wall()/1e6 < int64(at)+claimable.Milliseconds()
}

// keptBelow is what a rewind to start leaves as it is: what was given out or deferred
// below, and is not done.
func (c *core) keptBelow(start uint64) (kept []seqset.Range) {
	kept, _ = c.acked.Gaps(nil, c.acked.Floor(), min(start, c.cursor), maxGaps)
	ahead := func(seq uint64) { // delayed ones get out before the cursor reaches them
		if c.cursor <= seq && seq < start {
			kept = append(kept, seqset.Range{From: seq, To: seq + 1})
		}
	}
	c.flight.each(func(_ uint32, seq uint64, _ *entry) { ahead(seq) })
	c.deferred.Each(func(i dueheap.Item) { ahead(i.Seq) })
	for _, m := range c.waitingOld() {
		ahead(m.seq)
	}
	c.eachKnownOld(func(m redelivery) { ahead(m.seq) })
	return seqset.Union(kept)
}

// maxGaps is more ranges than there can be.
const maxGaps = int(^uint(0) >> 1)

// waitingOld is what waits for delivery, or for the dead-letter topic, and was given out
// before or was deferred.
func (c *core) waitingOld() (list []redelivery) {
	for i := range c.returned.Len() {
		list = append(list, *c.returned.At(i))
	}
	c.due.Each(func(i dueheap.Item) { list = append(list, deferred(i)) })
	for s := c.barred; s != nil; s = s.next {
		list = append(list, s.redeliveries...)
	}
	for _, x := range c.conf.spent.waiting {
		list = append(list, x.redelivery)
	}
	return list
}

// rewind does what Channel.Rewind says; shift is what added to a stored time (ms) makes it
// steady.
func (c *core) rewind(now int64, start uint64, voids []seqset.Range, delayed []message.Mark, shift int64) {
	order := c.conf.ahead
	if order != nil {
		c.endOrder()
	}
	done := seqset.Difference([]seqset.Range{{To: start}}, c.keptBelow(start))
	c.acked = seqset.New(0)
	for _, r := range seqset.Union(done, voids, c.beyond()) {
		c.acked.AddRange(r.From, r.To)
	}
	c.endDeliveries(start)
	gone := func(seq uint64) bool { return seq >= start || c.acked.Contains(seq) }
	c.returned.DeleteFunc(func(m redelivery) bool { return gone(m.seq) })
	c.due.RemoveFunc(func(i dueheap.Item) bool { return gone(i.Seq) })
	c.deferred.RemoveFunc(func(i dueheap.Item) bool { return gone(i.Seq) })
	c.removeSpent(gone)
	c.beginAt(now, start, delayed, shift)
	if order != nil {
		c.beginOrder(order.kind)
	}
	c.readAgain()
	if c.pending.on {
		c.pending.overflow()
	}
}

// beginAt has all that is not done from a number on be fresh, or deferred.
func (c *core) beginAt(now int64, start uint64, delayed []message.Mark, shift int64) {
	c.cursor, c.skip = start, seqset.List{}
	var skip []seqset.Range
	for r := range c.acked.Ranges() {
		if r.From = max(r.From, start); r.From < r.To {
			skip = append(skip, r)
		}
	}
	if floor := c.acked.Floor(); floor > start {
		skip = append(skip, seqset.Range{From: start, To: floor})
	}
	c.skip.AddAll(seqset.Union(skip))
	for _, d := range delayed {
		if start <= d.Seq && d.Seq < c.fanOut && !c.acked.Contains(d.Seq) {
			c.skip.Add(seqset.Range{From: d.Seq, To: d.Seq + 1})
			c.postpone(now, redelivery{seq: d.Seq, delayed: true}, d.DeliverAt+shift)
		}
	}
	c.waiting = c.fanOut - start - c.skip.Overlap(start, c.fanOut)
	c.skipOver()
}

// endDeliveries takes everything out of flight, and what cannot be read out of its
// stretches: what lies below start is returned.
func (c *core) endDeliveries(start uint64) {
	var ended []redelivery
	var flying []uint64
	c.flight.each(func(_ uint32, seq uint64, _ *entry) { flying = append(flying, seq) })
	for _, seq := range flying {
		ended = append(ended, c.removeInFlight(c.flight.find(seq)))
	}
	for s := c.barred; s != nil; s = s.next {
		ended = append(ended, s.redeliveries...)
		for _, r := range s.fresh {
			for seq := r.From; seq < min(r.To, start); seq++ {
				ended = append(ended, redelivery{seq: seq})
			}
		}
	}
	c.barred = nil
	sortBySeq(ended)
	for _, m := range ended {
		if m.seq < start {
			c.returned.PushBack(m)
		}
	}
}

// A bounded channel has everything from a number on done from the beginning: it is done
// when what lies below is.

// endAt makes the channel bounded, if until is above 0.
func (c *core) endAt(until uint64) {
	if until == 0 {
		return
	}
	c.ownConf().until = until
	for _, r := range c.beyond() {
		c.acked.AddRange(r.From, r.To)
		c.skip.Add(r)
	}
	c.skipOver()
}

// beyond is what a bounded channel does not get.
func (c *core) beyond() []seqset.Range { return state.Beyond(c.conf.until) }

// isDone says of a bounded channel that it has had everything.
func (c *core) isDone() bool { return c.conf.until > 0 && c.acked.Floor() >= c.conf.until }

// becomesDone says it of a channel that had not when it was asked last.
func (c *core) becomesDone() bool {
	was := c.conf.done
	c.conf.done = c.isDone()
	return c.conf.done && !was
}

// MayEnd says whether the channel may be over when its last consumer has gone: it is
// ephemeral, or bounded.
func (c *Channel) MayEnd() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return names.IsEphemeral(c.o.Name) || c.core.conf.until > 0
}

// Done says of a bounded channel that everything below its end is finished.
func (c *Channel) Done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.isDone()
}
