package channel

import (
	"hash/maphash"
	"slices"

	"qmq/internal/dueheap"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/settings"
)

// lookahead is what a channel knows of its messages whose settings have it deliver them
// by their keys or their priorities: these are in the log, which nobody reads under the
// channel's lock. So a consumer that finds too little to take first looks at what comes
// next: it reads the log without the lock, one consumer at a time, and tells the core.
// What was looked at waits in order; what is fresh stays fresh for all others, the
// journal included, so that nothing of this has to outlive the process.
type lookahead struct {
	kind  settings.Ordered // empty where messages have priorities
	order order
	// seen is up to where fresh messages are in order.
	seen uint64
	// taken are the numbers that were taken out of order and are not in core.skip yet, and all
	// below the cursor.
	taken *seqset.Set
	// unknown are messages under way whose key nobody has read yet: they were given out before a
	// restart, by another node, or before the messages had an order. Nothing is delivered until it is
	// known which keys they hold back.
	unknown map[uint64]struct{}
	looking bool   // a consumer reads
	resets  uint32 // what was read before one is of no use
}

// order is what of the messages that were looked at is delivered next.
type order interface {
	// add has a message wait that is not in the order.
	add(m redelivery, w wait, trait uint64)
	// next takes out what is to be delivered next, and has it under way. What is not
	// fresh any more is forgotten.
	next(c *core) (m redelivery, w wait, ok bool)
	// ready is how many messages next can give, or some more.
	ready() int
	// wants says whether fresh messages should be looked at before so many are delivered.
	wants(n int) bool
	// room is how many more may wait here that are fresh or due.
	room() int
	// old is how many wait that are not fresh, held how many that others hold back.
	old() int
	held() int
	// start has a message be under way that is not in the order. isUnderWay says whether
	// it is, or whether that is of no matter.
	start(seq uint64, trait uint64)
	isUnderWay(seq uint64) bool
	// comeBack has a message that was under way wait again, before all others with
	// first; ok is false where the order does not know what it is about.
	comeBack(m redelivery, first bool) (ok bool)
	// finish ends a message that was under way, if it was.
	finish(seq uint64)
	// remove takes out those that wait, and for which del is true.
	remove(del func(m redelivery, w wait) bool)
	// eachUnderWay calls do with what is under way; do must not change the order.
	eachUnderWay(do func(seq uint64))
	// eachOld calls do with what waits and is not fresh.
	eachOld(do func(m redelivery, w wait))
}

// wait is as what a message waits in an order.
type wait uint8

const (
	asReturned wait = iota
	asDue
	asFresh
)

// maxAhead is how many fresh and due messages are looked at ahead of the first that
// waits, at most: each takes up to 32 bytes, where it is held back, and is read once more.
const maxAhead = 64 << 10

// theChannel is the trait of all messages where the channel is ordered.
const theChannel = 1

var keySeed = maphash.MakeSeed()

// traitOf is what the order goes by: a hash of the key, 0 for none, or the priority.
func (a *lookahead) traitOf(v *message.View) uint64 {
	if a.kind == "" {
		return uint64(v.Priority())
	}
	key := v.Key()
	if len(key) == 0 {
		return 0
	}
	return max(1, maphash.Bytes(keySeed, key)>>1)
}

// configureOrder has messages be delivered in the order that settings ask for. What is
// under way stays so.
func (c *core) configureOrder(s settings.EffectiveChannel) {
	f := c.conf
	f.stops = s.Stops
	wanted := s.Ordered != "" || s.Prioritised
	if a := f.ahead; a != nil {
		if wanted && a.kind == s.Ordered {
			return
		}
		c.endOrder()
	}
	if wanted {
		c.beginOrder(s.Ordered)
	}
}

// endOrder has messages be delivered in any order.
func (c *core) endOrder() {
	var left []redelivery
	c.skipTaken()
	c.conf.ahead.order.eachOld(func(m redelivery, _ wait) { left = append(left, m) })
	c.conf.ahead = nil
	sortBySeq(left)
	for _, m := range left {
		c.returned.PushBack(m)
		c.pending.open(m.seq, m.attempts, 0)
	}
}

// beginOrder has messages be delivered by what they are about. Those that were delivered
// come first, and hold back what comes after them.
func (c *core) beginOrder(kind settings.Ordered) {
	a := &lookahead{kind: kind, seen: c.cursor, unknown: make(map[uint64]struct{})}
	a.reset(c)
	for s := c.barred; s != nil; s = s.next {
		for c.returnOne(s) {
		}
	}
	c.barred = nil
	var old []redelivery
	for c.returned.Len() > 0 {
		old = append(old, c.returned.PopFront())
	}
	if c.due.Len() > 0 {
		c.due.RemoveFunc(func(i dueheap.Item) bool {
			if i.Attempts > 0 {
				old = append(old, deferred(i))
				c.pending.open(i.Seq, i.Attempts, 0)
			}
			return i.Attempts > 0
		})
	}
	sortBySeq(old)
	for _, m := range old {
		c.returned.PushBack(m)
	}
	c.conf.ahead = a
	c.flight.each(func(_ uint32, seq uint64, _ *entry) { c.underWay(seq) })
	c.deferred.Each(func(i dueheap.Item) {
		if i.Attempts > 0 {
			c.underWay(i.Seq)
		}
	})
	for _, x := range c.conf.spent.waiting {
		c.underWay(x.seq)
	}
}

// reset forgets all that is known.
func (a *lookahead) reset(c *core) {
	a.resets++
	a.seen, a.taken = c.cursor, seqset.New(c.cursor)
	clear(a.unknown)
	if a.kind == "" {
		a.order = new(priorityOrder)
	} else {
		a.order = new(keyOrder)
	}
}

// forgetOrder has an order begin anew of which nothing is under way or waits but what is
// fresh.
func (c *core) forgetOrder() {
	if a := c.conf.ahead; a != nil {
		a.reset(c)
	}
}

// underWay notes that a message holds back others, from now on if it did not.
func (c *core) underWay(seq uint64) {
	a := c.conf.ahead
	switch {
	case a == nil || a.kind == "" || a.order.isUnderWay(seq):
	case a.kind == settings.OrderedChannel:
		a.order.start(seq, theChannel)
	default:
		a.unknown[seq] = struct{}{}
	}
}

// comeBack has a message that was given out wait again.
func (c *core) comeBack(m redelivery) {
	if a := c.conf.ahead; a == nil || !a.comeBack(m, false) {
		c.returned.PushBack(m)
	}
}

// comeBackFirst is comeBack for one that is to be the next.
func (c *core) comeBackFirst(m redelivery) {
	if a := c.conf.ahead; a == nil || !a.comeBack(m, true) {
		c.returned.PushFront(m)
	}
}

// comeBack is core.comeBack; ok is false for a message that has to be looked at.
func (a *lookahead) comeBack(m redelivery, first bool) (ok bool) {
	delete(a.unknown, m.seq)
	return a.order.comeBack(m, first)
}

// finished notes that a message is done.
func (a *lookahead) finished(seq uint64) {
	delete(a.unknown, seq)
	a.order.finish(seq)
}

// forget takes what is done out, wherever it is.
func (a *lookahead) forget(done func(seq uint64) bool) {
	a.order.remove(func(m redelivery, _ wait) bool { return done(m.seq) })
	var gone []uint64
	a.order.eachUnderWay(func(seq uint64) {
		if done(seq) {
			gone = append(gone, seq)
		}
	})
	for seq := range a.unknown {
		if done(seq) {
			gone = append(gone, seq)
		}
	}
	for _, seq := range gone {
		a.finished(seq)
	}
}

// blocked says whether nothing can be delivered before something was looked at.
func (a *lookahead) blocked(c *core) bool {
	return a.kind != "" && (len(a.unknown) > 0 || c.returned.Len() > 0)
}

// available is how many messages can be delivered, or one where something can be looked
// at.
func (a *lookahead) available(c *core) (n uint64) {
	if !a.blocked(c) {
		n = uint64(a.order.ready())
	}
	if n == 0 && !a.looking && a.unseen(c) {
		return 1
	}
	return n
}

// unseen says whether there is something to look at.
func (a *lookahead) unseen(c *core) bool {
	return len(a.unknown) > 0 || c.returned.Len() > 0 ||
		a.order.room() > 0 && (c.due.Len() > 0 || c.nextFresh(a.seen) < c.fanOut)
}

// knownOld is how many messages wait in an order that are not fresh.
func (c *core) knownOld() uint64 {
	if a := c.conf.ahead; a != nil {
		return uint64(a.order.old())
	}
	return 0
}

// eachKnownOld calls do with them.
func (c *core) eachKnownOld(do func(redelivery)) {
	if a := c.conf.ahead; a != nil {
		a.order.eachOld(func(m redelivery, _ wait) { do(m) })
	}
}

// heldBack is how many messages wait for others of their keys.
func (c *core) heldBack() int {
	if a := c.conf.ahead; a != nil {
		return a.order.held()
	}
	return 0
}

// nextFresh is the lowest fresh number from seq on; fanOut when there is none.
func (c *core) nextFresh(seq uint64) uint64 {
	seq = max(seq, c.cursor)
	all := c.skip.All()
	if n := len(all); n == 0 || all[n-1].To <= seq {
		all = nil // mostly
	}
	i, _ := slices.BinarySearchFunc(all, seq, func(r seqset.Range, seq uint64) int {
		if r.To <= seq {
			return -1
		}
		return 1
	})
	if i < len(all) && all[i].From <= seq {
		seq = all[i].To
	}
	if a := c.conf.ahead; a != nil && seq < a.taken.Max() {
		var room [1]seqset.Range
		gaps, next := a.taken.Gaps(room[:0], seq, c.fanOut, 1)
		if len(gaps) > 0 {
			next = gaps[0].From
		}
		if next != seq {
			return c.nextFresh(next)
		}
	}
	return min(seq, c.fanOut)
}

// passTaken moves the cursor over what was taken out of order, and says whether there was
// any there.
func (a *lookahead) passTaken(c *core) bool {
	a.taken.AddRange(0, c.cursor)
	if a.taken.Floor() <= c.cursor {
		return false
	}
	c.cursor = a.taken.Floor()
	return true
}

// skipTaken has the cursor skip what was taken out of order. Till then that is in a set of its
// own, for what is taken here and there of very many.
func (c *core) skipTaken() {
	a := c.conf.ahead
	if a == nil || a.taken.Max() <= c.cursor {
		return
	}
	var list []seqset.Range
	for r := range a.taken.Ranges() {
		if r.From = max(r.From, c.cursor); r.From < r.To {
			list = append(list, r)
		}
	}
	c.skip.AddAll(list)
	a.taken = seqset.New(c.cursor)
}

// reserveKnown reserves n messages that were looked at, or fewer.
func (c *core) reserveKnown(h *holder, now, deadline int64, n int, dst []reservation) []reservation {
	a := c.conf.ahead
	if a.blocked(c) {
		return dst
	}
	start := len(dst)
	for range n {
		m, w, ok := a.order.next(c)
		if !ok {
			break
		}
		if w != asFresh {
			dst = append(dst, c.reserveRedelivery(h, now, deadline, m, reservation{from: fromReturned}))
			continue
		}
		c.waiting--
		a.taken.Add(m.seq)
		at := c.flight.add(h, redelivery{seq: m.seq, attempts: 1}, now, deadline)
		dst = append(dst, reservation{seq: m.seq, attempts: 1, from: fromReturned, published: at})
	}
	c.skipOver()
	for _, r := range dst[start:] {
		if r.before == 0 && r.seq >= c.cursor {
			c.pending.open(r.seq, 1, 0)
		}
	}
	return dst
}

// giveUp has messages wait again that were reserved for h and not delivered, before all
// others.
func (c *core) giveUp(h *holder, rest []reservation) {
	for _, r := range slices.Backward(rest) {
		c.undelivered(h, 1)
		e := c.flight.find(r.seq)
		if e == 0 || c.flight.at(e).owner != h.index || h.gone {
			continue
		}
		m := c.removeInFlight(e)
		m.attempts = r.before
		c.comeBackFirst(m)
		c.pending.open(m.seq, m.attempts, 0)
	}
	c.pending.dirty = c.pending.on
}
