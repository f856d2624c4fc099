package channel

import (
	"errors"
	"sync"

	"qmq/message"
	"qmq/settings"
)

// maxLook is how many messages are looked at together.
const maxLook = 256

// maxLooks is how often a Take looks ahead while there is enough to take already: what is
// urgent is found at the end of a long backlog, after some takes.
const maxLooks = 16

// look is what a consumer looks at, without the channel's lock.
type look struct {
	ahead  *lookahead
	resets uint32
	seqs   [maxLook]uint64
	traits [maxLook]uint64 // of those that were read
	// The ends, in seqs, of what is under way, of what was returned, of what is due, and of
	// what is fresh.
	underWay, returned, due, fresh int
	read                           int // how many were read
}

var looks = sync.Pool{New: func() any { return new(look) }}

// plan says what h is to look at before it takes so many messages; ok is false where it
// is to take what there is.
func (c *core) plan(h *holder, now int64, n int, times int, l *look) (ok bool) {
	a := c.conf.ahead
	if h.gone {
		return false
	}
	c.resume(now)
	c.moveDue(now)
	c.unpark(h)
	n = min(n, int(max(0, h.credit())))
	if a.looking || n == 0 || c.paused || c.backingOff || c.closed || c.prefersNearer(h) || !a.worthwhile(c, n, times) {
		return false
	}
	l.fill(c)
	if a.kind == settings.OrderedChannel { // it need not be read
		for l.read = range l.fresh {
			l.traits[l.read] = theChannel
		}
		l.read = l.fresh
		c.note(l)
		return false
	}
	a.looking = true
	return true
}

// worthwhile says whether something should be looked at before n messages are taken.
func (a *lookahead) worthwhile(c *core, n, times int) bool {
	switch {
	case !a.unseen(c):
		return false
	case times < maxLooks && (len(a.unknown)|c.returned.Len() > 0 || c.due.Len() > 0 && a.order.room() > 0):
		return true
	case a.order.ready() == 0:
		return true
	}
	return times < maxLooks && a.order.wants(n)
}

// fill says what to look at: all that is under way before anything that was returned, all
// that was returned before anything else, and what is due and what is fresh by halves.
func (l *look) fill(c *core) {
	a, n := c.conf.ahead, 0
	put := func(seq uint64) {
		l.seqs[n] = seq
		n++
	}
	l.ahead, l.resets, l.read = a, a.resets, 0
	for seq := range a.unknown {
		if n < maxLook {
			put(seq)
		}
	}
	l.underWay = n
	if n == 0 {
		for i := range min(maxLook, c.returned.Len()) {
			put(c.returned.At(i).seq)
		}
	}
	l.returned = n
	if n == 0 && c.due.Len() > 0 {
		for i := range c.due.InOrder() {
			if n >= min(maxLook/2, a.order.room()) {
				break
			}
			put(i.Seq)
		}
	}
	l.due = n
	if l.returned == 0 {
		end := min(maxLook, n+a.order.room())
		if a.kind == settings.OrderedChannel {
			end = min(end, n+1)
		}
		for seq := c.nextFresh(a.seen); seq < c.fanOut && n < end; seq = c.nextFresh(seq + 1) {
			put(seq)
		}
	}
	l.fresh = n
}

// note takes up what was read. What was done with the messages meanwhile stays done.
func (c *core) note(l *look) {
	a := l.ahead
	a.looking = false
	if a != c.conf.ahead || a.resets != l.resets {
		return
	}
	for i, seq := range l.seqs[:l.read] {
		trait := l.traits[i]
		switch {
		case i < l.underWay:
			if _, is := a.unknown[seq]; is {
				delete(a.unknown, seq)
				a.order.start(seq, trait)
			}
		case i < l.returned:
			if c.returned.Len() > 0 && c.returned.At(0).seq == seq {
				a.order.add(c.returned.PopFront(), asReturned, trait)
			}
		case i < l.due:
			if c.due.Len() > 0 && c.due.Next().Seq == seq {
				m := deferred(c.due.Pop())
				a.order.add(m, asDue, trait)
				c.pending.open(m.seq, m.attempts, 0)
			}
		case seq >= a.seen:
			if a.seen = seq + 1; c.fresh(seq) {
				a.order.add(redelivery{seq: seq}, asFresh, trait)
			}
		}
	}
}

// look reads what is to be looked at; missed says that something is not in memory, where
// only that is wanted.
func (t *taking) look(l *look) (missed bool, err error) {
	if t.reader == nil {
		t.reader = t.ch.o.Host.NewReader()
	}
	defer t.reader.Release()
	var v message.View
	for ; l.read < l.fresh; l.read++ {
		seq := l.seqs[l.read]
		if t.cached {
			if !t.reader.ReadCached(seq, &v) {
				return true, nil
			}
		} else if err := t.reader.Read(seq, &v); err != nil {
			var gone *LostError
			if !errors.As(err, &gone) {
				return false, err
			}
			t.ch.lost(rangeOf(gone, seq))
			continue
		}
		if isForOther(&v, t.ch.o.Name) {
			t.ch.Void(seq, seq+1)
			continue
		}
		l.traits[l.read] = l.ahead.traitOf(&v)
	}
	return false, nil
}

// arrange looks ahead before so many messages are taken, and says how many to take. mu is held,
// but while it reads.
func (t *taking) arrange(limit int) int {
	t.arranged = true
	if t.fit > 0 {
		limit = min(limit, t.fit)
	}
	t.cut = t.lookAhead(limit)
	return limit
}

// adapt has the next Take reserve about as many as there was room for: what is given back has
// to be put in order again.
func (t *taking) adapt() {
	switch {
	case t.n > 0 && t.done < len(t.batch):
		t.fit = 2 * t.n
	case t.fit < MaxTake:
		t.fit *= 2
	default:
		t.fit = 0
	}
}

// lookAhead looks at what comes next, as often as it is worthwhile before so many are taken. It
// says whether something would have had to be read from the disk, where only what is in memory
// is wanted. mu is held, but while it reads.
func (t *taking) lookAhead(limit int) (missed bool) {
	c := t.ch
	l := looks.Get().(*look)
	defer looks.Put(l)
	for times := 0; !missed && c.core.conf.ahead != nil && c.core.plan(&t.holder, t.now, limit, times, l); times++ {
		c.unlock()
		var err error
		missed, err = t.look(l)
		c.mu.Lock()
		failed := err != nil && !(l.read < l.fresh && c.core.acked.Contains(l.seqs[l.read]))
		c.core.note(l)
		if failed {
			c.core.backOff(t.now)
			c.failing.Store(true)
			c.unlock()
			c.o.Host.ReadFailed(c.o.Name, err)
			c.mu.Lock()
		}
	}
	l.ahead = nil
	return missed
}
