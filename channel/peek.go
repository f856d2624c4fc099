package channel

import (
	"container/heap"
	"errors"

	"qmq/internal/dueheap"
	"qmq/message"
)

// PeekState names the messages that a Peek shows.
type PeekState uint8

const (
	PeekReady    PeekState = iota // may be taken now
	PeekInFlight                  // given to a consumer, not answered
	PeekDeferred                  // due later
	PeekSpent                     // delivered as often as may be, and not a dead letter yet
)

// Peeked is a message as it was at the moment of a Peek.
type Peeked struct {
	ID       message.ID
	Attempts uint16 // deliveries so far

	Consumer uint64 // ID of the one that has it in flight
	// Left is for how long a message in flight has not timed out, or until a
	// deferred one is due, in ns; 0 or less when that is about to happen.
	Left int64
}

// PeekOrder is which messages of a state a Peek shows first.
type PeekOrder uint8

const (
	// PeekByTurn shows what happens next: the waiting ones in the order in which they are
	// going to be taken (due ones, those that came back, fresh ones, though a Take mixes
	// them), those in flight that time out first, the deferred ones that are due first. It
	// looks at little more than it shows. Of spent ones those that are published next come first.
	PeekByTurn PeekOrder = iota
	// PeekOldest and PeekNewest go by the numbers of the messages, upwards and downwards.
	// They look at all that are not fresh.
	PeekOldest
	PeekNewest
)

// PeekOptions say what a Peek shows.
type PeekOptions struct {
	State PeekState
	Order PeekOrder
	// From is the number at which PeekOldest and PeekNewest begin; 0: the lowest, or the
	// highest.
	From  uint64
	Limit int // how many messages at most
}

// Peek shows messages of a channel to show, without changing anything. Total is how many
// of the state there are in all.
//
// show gets the bodies, without locks held; the view is valid during the call.
// What was finished and let go meanwhile, and what cannot be read now while
// others can, is left out, and so is what is for another channel. Another error in reading, or one of show, ends the
// Peek and is returned.
func (c *Channel) Peek(o PeekOptions, show func(Peeked, message.View) error) (total int, err error) {
	list, total := c.peek(o)
	reader := c.o.Host.NewReader()
	defer reader.Release()
	var view message.View
	for _, m := range list {
		err := reader.Read(m.seq, &view)
		var lost *LostError
		var unreadable *UnreadableError
		switch {
		case errors.As(err, &lost), errors.As(err, &unreadable):
			continue
		case err != nil:
			return total, err
		}
		if isForOther(&view, c.o.Name) {
			continue
		}
		m.ID = message.MakeID(c.o.IDPrefix, m.seq)
		if err := show(m.Peeked, view); err != nil {
			return total, err
		}
	}
	return total, nil
}

// peeked is a message that is about to be read.
type peeked struct {
	Peeked
	seq uint64
}

func (c *Channel) peek(o PeekOptions) (list []peeked, total int) {
	now := c.o.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o.State {
	case PeekInFlight:
		total = c.core.flight.len()
	case PeekDeferred:
		total = c.core.deferred.Len()
	case PeekSpent:
		total = len(c.core.conf.spent.waiting)
	default:
		total = int(c.core.depth())
	}
	c.core.skipTaken()
	switch {
	case o.Order != PeekByTurn:
		list = c.core.peekByNumber(now, o)
	case o.State == PeekInFlight:
		list = c.core.peekInFlight(now, o.Limit)
	case o.State == PeekDeferred:
		list = peekDue(&c.core.deferred, now, o.Limit)
	case o.State == PeekSpent:
		for _, x := range c.core.conf.spent.waiting[:min(o.Limit, total)] {
			list = append(list, x.peeked())
		}
	default:
		list = c.core.peekReady(now, o.Limit)
	}
	return list, total
}

func (x *spentMessage) peeked() peeked { return peeked{Peeked{Attempts: x.attempts}, x.seq} }

// peekReady lists due messages, those that came back and then fresh ones.
func (c *core) peekReady(now int64, limit int) (list []peeked) {
	list = peekDue(c.due, now, limit)
	for i := range list {
		list[i].Left = 0
	}
	for i := range min(limit-len(list), c.returned.Len()) {
		m := c.returned.At(i)
		list = append(list, peeked{Peeked{Attempts: m.attempts}, m.seq})
	}
	c.eachKnownOld(func(m redelivery) {
		if len(list) < limit {
			list = append(list, peeked{Peeked{Attempts: m.attempts}, m.seq})
		}
	})
	ranges := c.skip.All()
	for seq := c.cursor; seq < c.fanOut && len(list) < limit; seq++ {
		if len(ranges) > 0 && ranges[0].From <= seq { // ranges do not touch each other
			seq = ranges[0].To - 1
			ranges = ranges[1:]
			continue
		}
		list = append(list, peeked{seq: seq})
	}
	return list
}

// peekDue lists what of h is due first.
func peekDue(h *dueheap.Heap, now int64, limit int) (list []peeked) {
	for i := range h.InOrder() {
		if len(list) == limit {
			break
		}
		list = append(list, peeked{Peeked{Attempts: i.Attempts, Left: i.Due*1e6 - now}, i.Seq})
	}
	return list
}

// peekInFlight walks along each consumer's list and down its heap, whichever
// has the earliest deadline.
func (c *core) peekInFlight(now int64, limit int) (list []peeked) {
	f := c.flight
	paths := pathHeap{before: f.before}
	for _, h := range f.holders {
		if h == nil {
			continue
		}
		if h.head != 0 {
			paths.at = append(paths.at, h.head)
		}
		if len(h.touched) > 0 {
			paths.at = append(paths.at, h.touched[0])
		}
	}
	heap.Init(&paths)
	for len(paths.at) > 0 && len(list) < limit {
		i := heap.Pop(&paths).(uint32)
		e := f.at(i)
		h := f.holders[e.owner]
		list = append(list, peeked{Peeked{Attempts: e.attempts, Consumer: h.id, Left: e.deadline - now}, f.entries.Seq(i)})
		switch {
		case e.touched:
			for child := 2*int(e.next) + 1; child <= 2*int(e.next)+2 && child < len(h.touched); child++ {
				heap.Push(&paths, h.touched[child])
			}
		case e.next != 0:
			heap.Push(&paths, e.next)
		}
	}
	return list
}

// pathHeap holds how far each path through some sorted structures has come,
// the path that is to go on next first.
type pathHeap struct {
	at     []uint32
	before func(a, b uint32) bool
}

func (p *pathHeap) Len() int           { return len(p.at) }
func (p *pathHeap) Less(i, j int) bool { return p.before(p.at[i], p.at[j]) }
func (p *pathHeap) Swap(i, j int)      { p.at[i], p.at[j] = p.at[j], p.at[i] }
func (p *pathHeap) Push(x any)         { p.at = append(p.at, x.(uint32)) }

func (p *pathHeap) Pop() any {
	last := len(p.at) - 1
	i := p.at[last]
	p.at = p.at[:last]
	return i
}
