package channel

import (
	"qmq/internal/ring"
	"qmq/internal/seqset"
	"qmq/message"
)

// lowerShare is of how many deliveries one goes to a lower priority than the highest that
// waits: to that which has waited longest.
const lowerShare = 10

// maxPriorityAhead is how many messages are looked at ahead, at most: runs of messages of one
// priority take 16 bytes each.
const maxPriorityAhead = 1 << 20

// priorityOrder delivers what is most urgent first: of one priority what came back and what is
// new by turns, each in its order.
type priorityOrder struct {
	levels     [message.MaxPriority + 1]level
	n, oldN    int
	deliveries uint64
}

// level is what waits of one priority.
type level struct {
	returned ring.Ring[redelivery] // what is not fresh
	runs     ring.Ring[seqset.Range]
	n        int
	turn     bool   // the next one is fresh, if there is one
	servedAt uint64 // priorityOrder.deliveries when one was delivered last, or when the first came to wait
}

func (o *priorityOrder) ready() int     { return o.n }
func (o *priorityOrder) room() int      { return maxPriorityAhead - o.n }
func (o *priorityOrder) old() int       { return o.oldN }
func (o *priorityOrder) held() int      { return 0 }
func (o *priorityOrder) wants(int) bool { return true }

func (o *priorityOrder) add(m redelivery, w wait, priority uint64) {
	l := &o.levels[min(priority, message.MaxPriority)]
	if l.n == 0 {
		l.servedAt = o.deliveries
	}
	l.n++
	o.n++
	if w != asFresh {
		l.returned.PushBack(m)
		o.oldN++
		return
	}
	if n := l.runs.Len(); n > 0 && l.runs.At(n-1).To == m.seq {
		l.runs.At(n-1).To++
		return
	}
	l.runs.PushBack(seqset.Range{From: m.seq, To: m.seq + 1})
}

func (o *priorityOrder) next(c *core) (m redelivery, w wait, ok bool) {
	for o.n > 0 {
		l := o.turn()
		if m, w, ok = o.nextOf(l, c); ok {
			o.deliveries++
			l.servedAt = o.deliveries
			return m, w, true
		}
	}
	return m, w, false
}

// turn is the level that is next.
func (o *priorityOrder) turn() (next *level) {
	lower := o.deliveries%lowerShare == lowerShare-1
	var top *level
	for i := len(o.levels) - 1; i >= 0; i-- {
		switch l := &o.levels[i]; {
		case l.n == 0:
		case top == nil:
			if top = l; !lower {
				return top
			}
		case next == nil || l.servedAt < next.servedAt:
			next = l
		}
	}
	if next == nil {
		return top
	}
	return next
}

// nextOf takes a message out of a level; ok is false when what it took is not fresh any
// more.
func (o *priorityOrder) nextOf(l *level, c *core) (m redelivery, w wait, ok bool) {
	l.turn = !l.turn
	if l.returned.Len() > 0 && (l.turn || l.runs.Len() == 0) {
		m = l.returned.PopFront()
		o.took(l, 1)
		o.oldN--
		return m, asReturned, true
	}
	r := l.runs.At(0)
	gone := min(c.nextFresh(r.From), r.To) - r.From
	m.seq = r.From + gone
	if ok = m.seq < r.To; ok {
		r.From = m.seq + 1
		gone++
	} else {
		r.From = r.To
	}
	if r.From == r.To {
		l.runs.PopFront()
	}
	o.took(l, int(gone))
	return m, asFresh, ok
}

func (o *priorityOrder) took(l *level, n int) {
	l.n -= n
	o.n -= n
}

// What is under way holds nothing back, and is looked at again when it comes back.
func (o *priorityOrder) start(uint64, uint64)           {}
func (o *priorityOrder) isUnderWay(uint64) bool         { return true }
func (o *priorityOrder) comeBack(redelivery, bool) bool { return false }
func (o *priorityOrder) finish(uint64)                  {}
func (o *priorityOrder) eachUnderWay(func(seq uint64))  {}

func (o *priorityOrder) remove(del func(m redelivery, w wait) bool) {
	for i := range o.levels {
		l := &o.levels[i]
		was := l.returned.Len()
		l.returned.DeleteFunc(func(m redelivery) bool { return del(m, asReturned) })
		gone := was - l.returned.Len()
		o.oldN -= gone
		o.took(l, gone)
	}
}

func (o *priorityOrder) eachOld(do func(m redelivery, w wait)) {
	for i := range o.levels {
		for j := range o.levels[i].returned.Len() {
			do(*o.levels[i].returned.At(j), asReturned)
		}
	}
}
