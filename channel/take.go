package channel

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/protocol"
)

const (
	// takeMessages bounds the messages of a Take.
	takeMessages = 256
	// takeBytes bounds the frames of a Take, unless one message is larger.
	takeBytes = 256 << 10
)

// batches holds room for what a Take books, so that idle consumers keep none.
var batches = sync.Pool{New: func() any { return new([takeMessages]booked) }}

// Take books messages for the consumer, appends their frames to dst and
// returns the result and how many there are: at most 256, and not much more
// than 256 KiB unless the first one is larger. With n == 0 there is nothing to
// take now, and Wake will be called when there may be.
func (k *Consumer) Take(dst []byte) (frames []byte, n int) { return k.take(dst, false) }

// TakeCached is Take for who must not wait for a disk: it ends before the first
// message that is not in memory. With n == 0 there may be such a message, unless
// Parked says otherwise.
func (k *Consumer) TakeCached(dst []byte) (frames []byte, n int) { return k.take(dst, true) }

// Parked tells, after a Take, whether Wake will be called before the next can
// find anything: there was nothing, or all the credit is used up. Otherwise
// the caller is to Take again.
func (k *Consumer) Parked() bool { return k.parked }

func (k *Consumer) take(dst []byte, cached bool) (frames []byte, n int) {
	room := batches.Get().(*[takeMessages]booked)
	defer batches.Put(room)
	for {
		t := taking{Consumer: k, cached: cached, frames: dst, start: len(dst)}
		if !t.book(room[:0]) {
			return dst, 0
		}
		if k.reader == nil {
			k.reader = k.ch.o.NewReader()
		}
		t.encode()
		k.reader.Release()
		t.conclude()
		if t.n > 0 {
			k.frameSize = (3*k.frameSize + (len(t.frames)-t.start)/t.n) / 4
			return t.frames, t.n
		}
		if t.cut {
			k.parked = false
			return dst, 0
		}
		// What was booked is void, or cannot be read now: the next round
		// finds something else, or parks the consumer.
	}
}

// taking is one Take under way. It is kept small, as are the frames of what
// works on it: the goroutine that delivers is a new one, with a small stack.
type taking struct {
	*Consumer
	batch  []booked
	end    uint64 // what core.unbook needs to know
	frames []byte
	start  int   // where this Take's frames begin
	n      int   // messages encoded
	done   int   // messages of batch that were encoded or are lost
	err    error // why the next one could not be read
	cached bool  // only what is in memory is wanted
	cut    bool  // the next one is not in memory
	// unread is what of batch cannot be read; nil: all that was read so far
	// could be.
	unread *unread
	// published is when each of batch was, wall clock ns, where latencies are
	// kept.
	published []int64
}

// unread is what a Take found that cannot be read.
type unread struct {
	lost seqset.Range // found damaged last
	// aside are those that cannot be read now, in stretches, for a reason.
	aside     []booked
	stretches []seqset.Range
	err       error
}

// book fills the batch; it returns false when there is nothing.
func (t *taking) book(room []booked) bool {
	c := t.ch
	most := takeMessages
	if t.frameSize > takeBytes/takeMessages {
		most = max(1, takeBytes/t.frameSize)
	}
	for { // until sampling leaves something
		now := c.o.Clock.Now()
		c.mu.Lock()
		t.batch, t.end = c.core.book(&t.holder, now, most, room)
		booked := len(t.batch)
		t.parked = t.holder.parked
		if t.sample > 0 {
			t.batch = c.core.sample(&t.holder, t.batch, func(seq uint64) bool { return c.drawn(seq, t.sample) })
		}
		c.settleAndUnlock()
		if len(t.batch) > 0 || booked == 0 {
			return len(t.batch) > 0
		}
	}
}

// encode appends the frames of the batch until it is large enough or a message
// cannot be read. No lock is held: a message that is finished, emptied or
// timed out meanwhile is sent all the same.
func (t *taking) encode() {
	c := t.ch
	if c.latency != nil {
		t.published = make([]int64, len(t.batch))
	}
	for t.done < len(t.batch) {
		b := &t.batch[t.done]
		if t.unread != nil && t.unread.leavesOut(*b) {
			t.done++
			continue
		}
		var view message.View
		var err error
		if !t.cached {
			view, err = t.reader.Read(b.seq)
		} else if view, t.cut = t.readCached(b.seq); t.cut {
			return
		}
		if err != nil {
			if t.cannotRead(b.seq, err) {
				continue
			}
			return
		}
		if t.n > 0 && len(t.frames)-t.start+protocol.MessageFrameOverhead+len(view.Body) > takeBytes {
			return
		}
		if c.latency != nil {
			t.published[t.done] = view.Timestamp
		}
		t.frames = protocol.AppendMessage(t.frames, view.Timestamp, b.attempts, message.MakeID(c.o.NodeID, b.seq), view.Body)
		t.n++
		t.done++
	}
}

// readCached reads a message, or says that it is not in memory.
func (t *taking) readCached(seq uint64) (view message.View, absent bool) {
	view, ok := t.reader.ReadCached(seq)
	return view, !ok
}

func holds(r seqset.Range, seq uint64) bool { return r.From <= seq && seq < r.To }

// cannotRead notes why the message seq cannot be read. It says whether others
// can: then unread leaves out those that cannot.
func (t *taking) cannotRead(seq uint64, err error) bool {
	var u *diskqueue.UnreadableError
	lost := damage(err)
	switch {
	case lost.Len() > 0:
		t.ch.lost(lost, seq)
	case !errors.As(err, &u):
		t.err = err
		return false
	}
	if t.unread == nil {
		t.unread = new(unread)
	}
	if u == nil {
		t.unread.lost = seqset.Range{From: min(lost.From, seq), To: max(lost.To, seq+1)}
	} else {
		t.unread.stretches = append(t.unread.stretches, seqset.Range{From: min(u.From, seq), To: max(u.To, seq+1)})
		t.unread.err = err
	}
	return true
}

// leavesOut says whether b is known not to be readable; what may be readable
// later is set aside.
func (u *unread) leavesOut(b booked) bool {
	if u.inStretch(b.seq) {
		u.aside = append(u.aside, b)
		return true
	}
	return holds(u.lost, b.seq)
}

// inStretch says whether a message lies where nothing can be read now.
func (u *unread) inStretch(seq uint64) bool {
	return slices.ContainsFunc(u.stretches, func(r seqset.Range) bool { return holds(r, seq) })
}

// damage is the range that err says is lost for ever; empty when it does not.
func damage(err error) (r seqset.Range) {
	var d *diskqueue.DamageError
	if errors.As(err, &d) {
		r = seqset.Range{From: d.From, To: d.To}
	}
	return r
}

// lost reports that the messages in r, seq among them, cannot be read and never
// will be. The topic makes them void; the channel does not rely on it.
func (c *Channel) lost(r seqset.Range, seq uint64) {
	if c.o.Damaged != nil {
		c.o.Damaged(r.From, r.To)
	}
	c.Void(min(r.From, seq), max(r.To, seq+1))
}

// conclude gives back what was booked and not encoded, and notes whether
// messages can be read and, where latencies are kept, when they were published.
func (t *taking) conclude() {
	if t.done == len(t.batch) && t.n == t.done && !t.ch.failing.Load() && t.ch.latency == nil {
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
	if c.latency != nil {
		c.stamp(&t.holder, t.batch[:t.done], t.published, now)
	}
	c.core.unbook(&t.holder, t.batch[t.done:], t.end)
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
	c.settleAndUnlock()
	if c.o.ReadFailed != nil && (err != nil || recovered) {
		c.o.ReadFailed(err)
	}
}

// noteReads tells the core which messages could be read, and which not. mu is
// held.
func (t *taking) noteReads(u *unread, now int64) {
	c := t.ch.core
	if c.barred != nil {
		for _, b := range t.batch[:t.done] {
			if !u.inStretch(b.seq) {
				c.wasRead(b.seq)
			}
		}
		c.retry(now)
	}
	for _, r := range u.stretches {
		c.bar(&t.holder, u.aside, r, now)
	}
	switch {
	case t.err != nil:
		c.rest(now)
	case t.done > len(u.aside):
		c.readAgain()
	}
}

// allReadable says, once, that all can be read again. mu is held.
func (c *Channel) allReadable() bool { return c.core.readable() && c.failing.Swap(false) }
