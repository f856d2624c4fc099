package channel

import (
	"errors"

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

// Take books messages for the consumer, appends their frames to dst and
// returns the result and how many there are: at most 256, and not much more
// than 256 KiB unless the first one is larger. With n == 0 there is nothing to
// take now, and Wake will be called when there may be.
func (k *Consumer) Take(dst []byte) (frames []byte, n int) {
	for {
		end, ok := k.book()
		if !ok {
			return dst, 0
		}
		if k.reader == nil {
			k.reader = k.ch.o.NewReader()
		}
		t := taking{Consumer: k, frames: dst, start: len(dst)}
		t.encode()
		k.reader.Release()
		k.conclude(&t, end)
		if t.n > 0 {
			k.frameSize = (3*k.frameSize + (len(t.frames)-t.start)/t.n) / 4
			return t.frames, t.n
		}
		// What was booked is void, or cannot be read now: the next round
		// finds something else, or parks the consumer.
	}
}

// book fills k.batch; ok is false when there is nothing.
func (k *Consumer) book() (end uint64, ok bool) {
	c := k.ch
	most := takeMessages
	if k.frameSize > takeBytes/takeMessages {
		most = max(1, takeBytes/k.frameSize)
	}
	now := c.o.Clock.Now()
	c.mu.Lock()
	k.batch, end = c.core.book(&k.holder, now, most, k.batch[:0])
	c.settleAndUnlock()
	return end, len(k.batch) > 0
}

// taking is one Take while it reads and encodes what was booked.
type taking struct {
	*Consumer
	frames []byte
	start  int // where this Take's frames begin
	n      int // messages encoded
	done   int // messages of batch that were encoded or are lost
	err    error
}

// encode appends the frames of the batch until it is large enough or a message
// cannot be read. No lock is held: a message that is finished, emptied or
// timed out meanwhile is sent all the same.
func (t *taking) encode() {
	c := t.ch
	var lost seqset.Range // found damaged
	for t.done < len(t.batch) {
		b := t.batch[t.done]
		if lost.From <= b.seq && b.seq < lost.To {
			t.done++
			continue
		}
		view, err := t.reader.Read(b.seq)
		if err != nil {
			if lost = damage(err); lost.Len() == 0 {
				t.err = err
				return
			}
			c.lost(lost, b.seq)
			t.done++
			continue
		}
		if t.n > 0 && len(t.frames)-t.start+protocol.MessageFrameOverhead+len(view.Body) > takeBytes {
			return
		}
		t.frames = protocol.AppendMessage(t.frames, view.Timestamp, b.attempts, message.MakeID(c.o.NodeID, b.seq), view.Body)
		t.n++
		t.done++
	}
}

// damage is the range that err says is lost for ever; empty when it does not.
func damage(err error) (r seqset.Range) {
	var d *diskqueue.DamageError
	if errors.As(err, &d) {
		r = seqset.Range{From: d.From, To: d.To}
	}
	return r
}

// lost reports a message that cannot be read and never will be. The topic
// makes the whole range void; the channel makes sure of this message.
func (c *Channel) lost(r seqset.Range, seq uint64) {
	if c.o.Damaged != nil {
		c.o.Damaged(r.From, r.To)
	}
	c.Void(seq, seq+1)
}

// conclude gives back what was booked and not encoded, and notes whether
// messages can be read.
func (k *Consumer) conclude(t *taking, end uint64) {
	c := k.ch
	worked := t.err == nil && t.n > 0 && c.failing.Load()
	if t.done == len(t.batch) && t.n == t.done && !worked {
		return
	}
	now := c.o.Clock.Now()
	c.mu.Lock()
	if t.err != nil && c.core.acked.Contains(t.batch[t.done].seq) {
		t.err = nil // done meanwhile, and perhaps gone from the log
	}
	k.holder.delivered -= uint64(t.done - t.n)
	c.core.unbook(&k.holder, t.batch[t.done:], end)
	switch {
	case t.err != nil:
		c.core.rest(now)
		c.failing.Store(true)
	case worked:
		worked = c.failing.Swap(false)
		c.core.readAgain()
	}
	c.settleAndUnlock()
	if c.o.ReadFailed != nil && (t.err != nil || worked) {
		c.o.ReadFailed(t.err)
	}
}
