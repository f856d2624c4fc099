package channel

import (
	"container/heap"

	"qmq/internal/dueheap"
)

// peekByNumber lists messages of a state by their numbers.
func (c *core) peekByNumber(now int64, o PeekOptions) []peeked {
	n := nearest{PeekOptions: o}
	due := func(left func(dueheap.Item) int64) func(dueheap.Item) {
		return func(i dueheap.Item) { n.offer(peeked{Peeked{Attempts: i.Attempts, Left: left(i)}, i.Seq}) }
	}
	switch o.State {
	case PeekInFlight:
		f := c.flight
		f.each(func(_ uint32, seq uint64, e *entry) {
			n.offer(peeked{Peeked{Attempts: e.attempts, Consumer: f.holders[e.owner].id, Left: e.deadline - now}, seq})
		})
	case PeekDeferred:
		c.deferred.Each(due(func(i dueheap.Item) int64 { return i.Due*1e6 - now }))
	case PeekSpent:
		for i := range c.conf.spent.waiting {
			n.offer(c.conf.spent.waiting[i].peeked())
		}
	default:
		c.due.Each(due(func(dueheap.Item) int64 { return 0 }))
		for i := range c.returned.Len() {
			m := c.returned.At(i)
			n.offer(peeked{Peeked{Attempts: m.attempts}, m.seq})
		}
		c.eachKnownOld(func(m redelivery) { n.offer(peeked{Peeked{Attempts: m.attempts}, m.seq}) })
		c.offerFresh(&n)
	}
	return n.sorted()
}

// offerFresh offers as many fresh messages as may be wanted.
func (c *core) offerFresh(n *nearest) {
	if n.Order == PeekNewest {
		end := c.fanOut
		if n.From != 0 {
			end = min(end, n.From+1)
		}
		if end <= c.cursor {
			return
		}
		for _, r := range c.skip.LastGaps(c.cursor, end, uint64(n.Limit)) {
			for seq := r.From; seq < r.To; seq++ {
				n.offer(peeked{seq: seq})
			}
		}
		return
	}
	offered := 0
	for _, r := range c.skip.Gaps(max(c.cursor, min(n.From, c.fanOut)), c.fanOut) {
		for seq := r.From; seq < r.To && offered < n.Limit; seq++ {
			n.offer(peeked{seq: seq})
			offered++
		}
	}
}

// nearest keeps the messages that come first in an order, so many at most: a heap with
// the last of them on top.
type nearest struct {
	PeekOptions
	kept []peeked
}

// offer keeps m if it is one of those that come first.
func (n *nearest) offer(m peeked) {
	switch {
	case n.Order == PeekOldest && m.seq < n.From, n.Order == PeekNewest && n.From != 0 && m.seq > n.From:
	case len(n.kept) < n.Limit:
		heap.Push(n, m)
	case n.Limit > 0 && n.before(m, n.kept[0]):
		n.kept[0] = m
		heap.Fix(n, 0)
	}
}

// sorted are those that were kept, in their order.
func (n *nearest) sorted() []peeked {
	list := make([]peeked, len(n.kept))
	for i := len(list) - 1; i >= 0; i-- {
		list[i] = heap.Pop(n).(peeked)
	}
	return list
}

func (n *nearest) before(a, b peeked) bool {
	if n.Order == PeekNewest {
		return a.seq > b.seq
	}
	return a.seq < b.seq
}

func (n *nearest) Len() int           { return len(n.kept) }
func (n *nearest) Less(i, j int) bool { return n.before(n.kept[j], n.kept[i]) }
func (n *nearest) Swap(i, j int)      { n.kept[i], n.kept[j] = n.kept[j], n.kept[i] }
func (n *nearest) Push(x any)         { n.kept = append(n.kept, x.(peeked)) }

func (n *nearest) Pop() any {
	last := len(n.kept) - 1
	m := n.kept[last]
	n.kept = n.kept[:last]
	return m
}
