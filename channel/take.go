package channel

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"qmq/internal/seqset"
	"qmq/message"
)

// MaxTake is how many messages a Take hands out at most.
const MaxTake = 256

// Message is a message on its way to a consumer.
type Message struct {
	message.View
	ID       message.ID
	Attempts uint16 // this delivery included
}

// Sink gets the messages of a Take, in order.
type Sink interface {
	// Put gets a message. It and what it points to are good during the call.
	// False means that there is no room for it: it stays in the channel, and
	// the Take ends. The first message of a Take should find room: else it
	// would be handed out, and come back, at each Take.
	Put(m *Message) bool
}

// Take hands out up to limit messages, and MaxTake at most, and says how many
// it was. They are in flight from then on. With n == 0 there is nothing to take
// now, and Wake will be called when there may be.
func (k *Consumer) Take(s Sink, limit int) (n int) { return k.take(s, limit, false) }

// TakeCached is Take for who must not wait for a disk: it ends before the first
// message that is not in memory. With n == 0 there may be such a message, unless
// Parked says otherwise.
func (k *Consumer) TakeCached(s Sink, limit int) (n int) { return k.take(s, limit, true) }

// Parked tells, after a Take, whether Wake will be called before the next can
// find anything: there was nothing, or all the credit is used up. Otherwise
// the caller is to Take again.
func (k *Consumer) Parked() bool { return k.parked }

func (k *Consumer) take(s Sink, limit int, cached bool) (n int) {
	t := takings.Get().(*taking)
	for again := true; again; {
		t.progress = progress{Consumer: k, sink: s, cached: cached}
		n, again = t.once(min(limit, MaxTake))
	}
	t.progress = progress{} // it holds on to nothing
	takings.Put(t)
	return n
}

// taking is one Take under way. It is pooled: the goroutine that delivers is a
// new one, with a small stack, and an idle consumer keeps no memory for it. For
// the same reason what happens seldom has functions of its own.
type taking struct {
	progress
	reservations [MaxTake]reservation // batch is in them
}

var takings = sync.Pool{New: func() any { return new(taking) }}

// progress is how far a Take has come.
type progress struct {
	*Consumer
	sink    Sink
	cached  bool // only what is in memory is wanted
	batch   []reservation
	end     uint64 // what core.release needs to know
	n       int    // messages handed out
	done    int    // messages of batch that were handed out or cannot be read
	cut     bool   // the next one is not in memory, or there is no room for any
	err     error  // why the next one could not be read
	message Message
	// now is when it was reserved, steady ns, and shift what added to a steady time makes it
	// the wall clock's of that moment.
	now, shift int64
	// arranged says that messages come in an order: none is passed over because it cannot be read.
	arranged bool
	// unread is what of batch cannot be read; nil: all that was read so far
	// could be.
	unread *unread
}

// unread is what a Take found that cannot be read.
type unread struct {
	lost seqset.Range // found last
	// detached are those that cannot be read now, in stretches, for a reason.
	detached  []reservation
	stretches []seqset.Range
	err       error
}

// once takes once. With again what was reserved is void, or cannot be read now:
// the next round finds something else, or parks the consumer.
func (t *taking) once(limit int) (n int, again bool) {
	if !t.reserve(limit) {
		return 0, false
	}
	if t.reader == nil {
		t.reader = t.ch.o.Host.NewReader()
	}
	t.handOut()
	t.reader.Release()
	t.conclude()
	if t.n == 0 && t.cut {
		t.parked = false
	}
	return t.n, t.n == 0 && !t.cut
}

// reserve fills the batch; it returns false when there is nothing.
func (t *taking) reserve(limit int) bool {
	c := t.ch
	for { // until sampling leaves something
		t.now = c.o.Clock.Now()
		t.shift = c.o.Clock.Shift(t.now)
		c.mu.Lock()
		if c.core.conf.ahead != nil {
			limit = t.arrange(limit)
		}
		t.batch, t.end = c.core.reserve(&t.holder, t.now, limit, t.reservations[:0])
		reserved := len(t.batch)
		if t.cut && reserved == 0 {
			c.core.unpark(&t.holder)
		}
		t.parked = t.holder.parked
		if t.sample > 0 {
			t.batch = c.core.sample(&t.holder, t.batch, func(seq uint64) bool { return c.drawn(seq, t.sample) })
		}
		c.unlockAndTell()
		if len(t.batch) > 0 || reserved == 0 {
			return len(t.batch) > 0
		}
	}
}

// handOut puts the messages of the batch into the sink until it is full or a
// message cannot be read. No lock is held: a message that is finished, emptied
// or timed out meanwhile is handed out all the same.
func (t *taking) handOut() {
	c, m := t.ch, &t.message
	ages := c.aging().handedOut.Begin()
	defer ages.Flush()
	for t.done < len(t.batch) {
		r := &t.batch[t.done]
		if t.unread != nil && t.unread.leavesOut(*r) {
			t.done++
			continue
		}
		if t.cached {
			if t.cut = !t.reader.ReadCached(r.seq, &m.View); t.cut {
				return
			}
		} else if err := t.reader.Read(r.seq, &m.View); err != nil {
			if t.cannotRead(r.seq, err) {
				continue
			}
			return
		}
		if len(m.Attrs) > 0 && c.passesOver(&m.View) {
			t.done++
			continue
		}
		m.ID, m.Attempts = message.MakeID(c.o.IDPrefix, r.seq), r.attempts
		at := min(m.Timestamp-t.shift, t.now)
		r.published.note(r.seq, at) // before its FIN can come
		if !t.sink.Put(m) {
			t.cut = t.n == 0
			return
		}
		ages.Add(t.now - at)
		t.n++
		t.done++
	}
}

// passesOver finishes a message that is for another channel. Mostly the channel was told
// before it got as far, but not what was published before a restart.
func (c *Channel) passesOver(v *message.View) bool {
	other := isForOther(v, c.o.Name)
	if other {
		c.Void(v.Seq, v.Seq+1)
	}
	return other
}

// isForOther says whether a message is for a channel of another name.
func isForOther(v *message.View, name string) bool {
	only, ok := v.OnlyFor()
	return ok && string(only) != name
}

// cannotRead notes why the message seq cannot be read. It says whether others
// can: then unread leaves out those that cannot.
func (t *taking) cannotRead(seq uint64, err error) bool {
	var gone *LostError
	var later *UnreadableError
	if !errors.As(err, &gone) && !errors.As(err, &later) {
		t.err = err
		return false
	}
	if t.unread == nil {
		t.unread = new(unread)
	}
	if gone == nil && t.arranged {
		t.err = err
		return false
	}
	if gone != nil {
		t.unread.lost = rangeOf(gone, seq)
		t.ch.lost(t.unread.lost)
		return true
	}
	t.unread.stretches = append(t.unread.stretches, seqset.Range{From: min(later.From, seq), To: max(later.To, seq+1)})
	t.unread.err = err
	return true
}

// rangeOf is what is lost, the message seq included, of which that was said.
func rangeOf(gone *LostError, seq uint64) seqset.Range {
	return seqset.Range{From: min(gone.From, seq), To: max(gone.To, seq+1)}
}

// leavesOut says whether r is known not to be readable; what may be readable
// later is detached.
func (u *unread) leavesOut(r reservation) bool {
	if u.inStretch(r.seq) {
		u.detached = append(u.detached, r)
		return true
	}
	return holds(u.lost, r.seq)
}

// inStretch says whether a message lies where nothing can be read now.
func (u *unread) inStretch(seq uint64) bool {
	return slices.ContainsFunc(u.stretches, func(r seqset.Range) bool { return holds(r, seq) })
}

// lost reports that the messages in r cannot be read and never will be. The
// host makes them void; the channel does not rely on it.
func (c *Channel) lost(r seqset.Range) {
	c.o.Host.Lost(r.From, r.To)
	c.Void(r.From, r.To)
}

// conclude gives back what was reserved and not handed out, and notes whether
// messages can be read.
func (t *taking) conclude() {
	if t.arranged {
		t.adapt()
	}
	if t.done == len(t.batch) && t.n == t.done && !t.ch.failing.Load() {
		return
	}
	t.concludeUnusual()
}

func (t *taking) concludeUnusual() {
	c := t.ch
	now := c.o.Clock.Now()
	c.mu.Lock()
	if t.err != nil && c.core.acked.Contains(t.batch[t.done].seq) {
		t.err = nil // done meanwhile, and perhaps gone from the log
	}
	c.core.undelivered(&t.holder, t.done-t.n)
	c.core.release(&t.holder, t.batch[t.done:], t.end)
	u := t.unread
	if u == nil {
		u = new(unread)
	}
	t.noteReads(u, now)
	err := cmp.Or(t.err, u.err)
	if err != nil {
		c.failing.Store(true)
	}
	recovered := err == nil && c.allReadable()
	c.unlockAndTell()
	if err != nil || recovered {
		c.o.Host.ReadFailed(c.o.Name, err)
	}
}

// noteReads tells the core which messages could be read, and which not. mu is
// held.
func (t *taking) noteReads(u *unread, now int64) {
	c := t.ch.core
	if c.barred != nil {
		for _, r := range t.batch[:t.done] {
			if !u.inStretch(r.seq) {
				c.wasRead(r.seq)
			}
		}
		c.retry(now)
	}
	for _, r := range u.stretches {
		c.bar(&t.holder, u.detached, r, now)
	}
	switch {
	case t.err != nil:
		c.backOff(now)
	case t.done > len(u.detached):
		c.readAgain()
	}
}

// allReadable says, once, that all can be read again. mu is held.
func (c *Channel) allReadable() bool { return c.core.readable() && c.failing.Swap(false) }
