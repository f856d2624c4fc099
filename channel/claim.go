package channel

import (
	"slices"

	"qmq/internal/dueheap"
	"qmq/internal/seqset"
	"qmq/message"
)

// Claims are what a channel has granted to a consumer, and what may not be known to it: who
// served it before told it late or not at all, or the consumer could not be heard for a while.
type Claims struct {
	Done     []seqset.Range // what the consumer had finished
	Requeued []Claim        // what it had given back
	Held     []Claim        // what it has
}

// Claim is a message of Claims.
type Claim struct {
	Seq      uint64
	Attempts uint16 // deliveries so far, that to the consumer included
	Due      int64  // of a requeued one: when it is due, ms since 1970, wall clock; 0: at once
}

// Claim takes up what is said in claims: what is done is acknowledged, what was
// requeued waits until it is due, and what is held is in flight at the consumer, with
// its full time. A message that is acknowledged, or was given out since, stays as
// it is: refused are those that the consumer holds in vain. What is in flight at a consumer that
// is away is the claiming one's, or was, if it was given out as often as is claimed. Of a channel that was rewound
// less than 20 s ago nothing counts: it may be of before.
func (k *Consumer) Claim(claims *Claims) (refused []uint64) {
	c := k.ch
	now := c.o.Clock.Now()
	c.mu.Lock()
	if c.core.closed || k.holder.gone || c.justRewound() {
		c.mu.Unlock()
		for _, m := range claims.Held {
			refused = append(refused, m.Seq)
		}
		return refused
	}
	refused = c.core.claim(&k.holder, claims, now, -wallShift(c.o.Clock))
	c.unlockAndTell()
	return refused
}

// Reconcile is Consumer.Claim for a consumer that has gone, and holds nothing.
func (c *Channel) Reconcile(claims *Claims) {
	now := c.o.Clock.Now()
	c.mu.Lock()
	if !c.core.closed && !c.justRewound() {
		c.core.reconcile(claims, now, -wallShift(c.o.Clock))
	}
	c.unlockAndTell()
}

// reconcile takes up what is done and what was requeued; shift is what added to a stored
// time (ms) makes it steady.
func (c *core) reconcile(claims *Claims, now, shift int64) {
	c.acknowledge(claims.Done)
	waiting := c.extract(claims.Requeued)
	for _, m := range newest(claims.Requeued) {
		w, ok := waiting[m.Seq]
		if i := c.flight.find(m.Seq); !ok && i != 0 && c.isClaimable(i, m) {
			w, ok = c.removeInFlight(i), true
			c.requeued++
		}
		if ok {
			c.putBack(w, m, now, shift)
		}
	}
}

// newest is what was requeued, once each, as it was the last time.
func newest(claims []Claim) (list []Claim) {
	seen := make(map[uint64]struct{}, len(claims))
	for _, m := range slices.Backward(claims) {
		if _, is := seen[m.Seq]; !is {
			seen[m.Seq] = struct{}{}
			list = append(list, m)
		}
	}
	slices.Reverse(list)
	return list
}

// isClaimable says whether the entry i is in flight at a consumer that is away, and is the
// delivery that m is about.
func (c *core) isClaimable(i uint32, m Claim) bool {
	e := c.flight.at(i)
	return c.flight.holders[e.owner].away && e.attempts == m.Attempts
}

// claim does what Consumer.Claim says.
func (c *core) claim(h *holder, claims *Claims, now, shift int64) (refused []uint64) {
	c.reconcile(claims, now, shift)
	waiting := c.extract(claims.Held)
	for _, m := range claims.Held {
		if !c.claimOne(h, waiting, m, now) {
			refused = append(refused, m.Seq)
		}
	}
	return refused
}

// acknowledge acknowledges what of some ranges is not, wherever it is: each place is
// looked through once, however many ranges there are.
func (c *core) acknowledge(done []seqset.Range) {
	open := c.unacknowledged(done)
	if len(open) == 0 {
		return
	}
	c.skipTaken()
	for _, r := range open {
		if low := max(r.From, c.cursor); low < r.To {
			c.waiting -= r.To - low - c.skip.Overlap(low, r.To)
			c.skip.Add(seqset.Range{From: low, To: r.To})
		}
		c.unbar(r.From, r.To)
		c.acked.AddRange(r.From, r.To)
		c.pending.acked(r)
	}
	acked := c.acked.Contains
	var flying []uint64
	c.flight.each(func(_ uint32, seq uint64, _ *entry) {
		if acked(seq) {
			flying = append(flying, seq)
		}
	})
	for _, seq := range flying {
		c.removeInFlight(c.flight.find(seq))
	}
	c.returned.DeleteFunc(func(m redelivery) bool { return acked(m.seq) })
	c.removeSpent(acked)
	if a := c.conf.ahead; a != nil {
		a.forget(acked)
	}
	for _, heap := range [...]*dueheap.Heap{c.due, &c.deferred} {
		if heap.Len() > 0 {
			heap.RemoveFunc(func(i dueheap.Item) bool { return acked(i.Seq) })
		}
	}
	c.skipOver()
}

// unacknowledged is what of some ranges was given to the channel and is not
// acknowledged.
func (c *core) unacknowledged(ranges []seqset.Range) (open []seqset.Range) {
	for _, r := range ranges {
		for to := min(r.To, c.fanOut); r.From < to; {
			open, r.From = c.acked.Gaps(open, r.From, to, maxMoves)
		}
	}
	return seqset.Union(open)
}

// putBack has w wait until m is due, unless it is spent.
func (c *core) putBack(w redelivery, m Claim, now, shift int64) {
	w.attempts = max(w.attempts, m.Attempts, 1)
	if c.isSpent(w) {
		c.spend(w, message.Requeued, now)
		return
	}
	if m.Due == 0 {
		c.comeBack(w)
		c.pending.open(w.seq, w.attempts, 0)
		return
	}
	due := min(m.Due+shift, (now+c.maxDelay)/1e6)
	c.postpone(now, w, due)
	c.pending.open(w.seq, w.attempts, due)
}

// claimOne has m in flight at h, unless it is done or another consumer got it later. What
// waited is in waiting.
func (c *core) claimOne(h *holder, waiting map[uint64]redelivery, m Claim, now int64) bool {
	w, ok := waiting[m.Seq]
	if ok {
		delete(waiting, m.Seq)
	} else {
		i := c.flight.find(m.Seq)
		if i == 0 {
			return false
		}
		switch e := c.flight.at(i); {
		case e.owner == h.index:
			return true
		case c.isClaimable(i, m):
			c.takeOver(h, i, now)
			return true
		case e.attempts >= m.Attempts:
			return false
		}
		w = c.removeInFlight(i)
	}
	w.attempts = max(w.attempts, m.Attempts, 1)
	c.flight.add(h, w, now, now+h.timeout)
	c.underWay(w.seq)
	c.setCredit(h, h.rdy, h.inFlight+1)
	c.pending.open(w.seq, w.attempts, 0)
	return true
}

// takeOver has the entry i, of a consumer that is away, be in flight at h as if touched.
func (c *core) takeOver(h *holder, i uint32, now int64) {
	e := c.flight.at(i)
	away := c.flight.holders[e.owner]
	c.flight.move(i, h, min(now+h.timeout, e.first+c.maxTimeout))
	c.setCredit(away, away.rdy, away.inFlight-1)
	c.setCredit(h, h.rdy, h.inFlight+1)
}

// extract takes those of the claimed messages out of where they wait that do, and were not
// given out since.
func (c *core) extract(claims []Claim) (found map[uint64]redelivery) {
	wanted := make(map[uint64]uint16, len(claims)) // how often they were given out
	found = make(map[uint64]redelivery, len(claims))
	c.skipTaken()
	for _, m := range claims {
		if c.fresh(m.Seq) {
			c.skip.Add(seqset.Range{From: m.Seq, To: m.Seq + 1})
			c.waiting--
			found[m.Seq] = redelivery{seq: m.Seq}
			continue
		}
		wanted[m.Seq] = max(wanted[m.Seq], m.Attempts)
	}
	c.skipOver()
	take := func(m redelivery) bool {
		if attempts, ok := wanted[m.seq]; !ok || m.attempts > attempts {
			return false
		}
		delete(wanted, m.seq)
		found[m.seq] = m
		return true
	}
	if len(wanted) > 0 {
		c.returned.DeleteFunc(take)
	}
	if a := c.conf.ahead; a != nil {
		a.order.remove(func(m redelivery, w wait) bool { return w != asFresh && take(m) })
	}
	for _, heap := range [...]*dueheap.Heap{c.due, &c.deferred} {
		if len(wanted) > 0 && heap.Len() > 0 {
			heap.RemoveFunc(func(i dueheap.Item) bool { return take(deferred(i)) })
		}
	}
	if len(wanted) > 0 {
		c.extractBarred(take)
	}
	return found
}

// fresh says whether a message was neither given out nor deferred.
func (c *core) fresh(seq uint64) bool {
	return c.cursor <= seq && seq < c.fanOut && c.skip.Overlap(seq, seq+1) == 0
}

// extractBarred takes the messages out of the stretches that take wants.
func (c *core) extractBarred(take func(redelivery) bool) {
	for s := c.barred; s != nil; s = s.next {
		s.redeliveries = slices.DeleteFunc(s.redeliveries, take)
		for _, r := range slices.Clone(s.fresh) {
			for seq := r.From; seq < r.To; seq++ {
				if take(redelivery{seq: seq}) {
					s.fresh = seqset.Difference(s.fresh, []seqset.Range{{From: seq, To: seq + 1}})
				}
			}
		}
	}
}
