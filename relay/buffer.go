package relay

import (
	"sync"

	"qmq/channel"
)

// window is how many bytes of messages may be on their way to a consumer, or wait with
// it, beside one message.
const window = 256 << 10

// buffer is what a leader on another node has sent and the client has not got yet.
type buffer struct {
	chunks   []chunk
	messages int
	parked   bool // the last Take left nothing: the next arrival calls Wake
}

// chunk is what is left of a messages frame.
type chunk struct {
	memory *[]byte // of frames
	b      []byte  // in memory
	until  int64   // when the messages have timed out at the leader, steady ns
}

// free gives the chunk's memory back.
func (c *chunk) free() {
	giveFrame(c.memory)
	*c = chunk{}
}

// frames is memory for frames on their way. New memory costs more than the copy.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// giveFrame gives memory back, unless it was for a very long message.
func giveFrame(memory *[]byte) {
	if cap(*memory) <= 2*maxFrame {
		frames.Put(memory)
	}
}

// drop forgets everything. What was taken to be given out is given out anew.
func (b *buffer) drop() {
	for i := range b.chunks {
		b.chunks[i].free()
	}
	b.chunks, b.messages = nil, 0
}

// arrived takes n messages that were taken under a RDY count of that generation.
func (k *Consumer) arrived(number uint64, generation uint32, messages []byte, n int) {
	k.mu.Lock()
	if k.closed || k.number != number || n == 0 {
		k.mu.Unlock()
		return
	}
	b := &k.buffer
	memory := frames.Get().(*[]byte)
	*memory = append((*memory)[:0], messages...)
	b.chunks = append(b.chunks, chunk{memory, *memory, k.r.o.Clock.Now() + k.timeout()})
	b.messages += n
	if generation != k.generation {
		k.trim()
		k.queueFrames()
	}
	if !b.parked || b.messages == 0 {
		k.mu.Unlock()
		return
	}
	b.parked = false
	k.callUnlock(k.o.Wake)
}

// takeBuffered is Take from the buffer. The caller holds k.mu.
func (k *Consumer) takeBuffered(s channel.Sink, limit int) (n int) {
	b := &k.buffer
	now := k.r.o.Clock.Now()
	var m channel.Message
	for n < min(limit, channel.MaxTake) && len(b.chunks) > 0 {
		c := &b.chunks[0]
		size := firstMessage(c.b, &m)
		if c.until >= now { // else others have got it
			if !s.Put(&m) {
				break
			}
			prefix, seq, _ := m.ID.Split()
			k.client.got(prefix, seq, m.Attempts, now+k.timeout())
			n++
		}
		c.b = c.b[size:]
		b.messages--
		k.taken += uint32(size)
		if len(c.b) == 0 {
			c.free()
			b.chunks = b.chunks[1:]
		}
	}
	if len(b.chunks) == 0 {
		b.chunks = nil
	}
	b.parked = b.messages == 0
	k.client.forget(now)
	k.stats.MessageCount += uint64(n)
	if k.taken >= window/2 {
		k.queueFrames()
	}
	return n
}

// trim gives back what is more than the client accepts: it may be long until it does.
// The caller holds k.mu, and queues the frames.
func (k *Consumer) trim() {
	b := &k.buffer
	if b.messages == 0 {
		return
	}
	keep := max(0, int(k.ready)-k.client.inFlight(k.r.o.Clock.Now()))
	var m channel.Message
	kept := b.chunks[:0]
	for _, c := range b.chunks {
		at := 0
		for ; at < len(c.b) && keep > 0; keep-- {
			at += firstMessage(c.b[at:], &m)
		}
		for rest := c.b[at:]; len(rest) > 0; b.messages-- {
			size := firstMessage(rest, &m)
			rest = rest[size:]
			k.taken += uint32(size)
			k.pending = append(k.pending, channel.Answer{Op: channel.Return, ID: m.ID})
		}
		if c.b = c.b[:at]; at > 0 {
			kept = append(kept, c)
		} else {
			c.free()
		}
	}
	clear(b.chunks[len(kept):])
	b.chunks = kept
}
