package diskqueue

import (
	"math"
	"sort"
	"sync"
	"sync/atomic"
)

// hotTail holds the newest records of a log in memory, so that consumers that
// keep up never read from disk. It is bounded by a number of messages and by
// the node's byte budget; one without room keeps nothing, and reads go to disk.
type hotTail struct {
	budget *byteBudget
	place  int // in budget.tails; guarded by budget.mu

	mu          sync.Mutex // guards what follows
	maxMessages int
	chunks      []*chunk // ascending and gapless
	messages    int
	reserved    bool // the last chunk is being written into
}

// byteBudget is the memory that the hot tails of a node and the logs that live
// in memory share. Hot tails take what is free, and give way to the others.
type byteBudget struct {
	limit int64
	used  atomic.Int64

	mu    sync.Mutex // guards what follows; taken before a hot tail's
	tails []*hotTail
	turn  int // which of them gives way next
}

// join makes h give way when memory is needed.
func (b *byteBudget) join(h *hotTail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.place = len(b.tails)
	b.tails = append(b.tails, h)
}

// leave undoes join.
func (b *byteBudget) leave(h *hotTail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.tails) - 1
	if h.place > last || b.tails[h.place] != h {
		return // it is gone already
	}
	b.tails[h.place] = b.tails[last]
	b.tails[h.place].place = h.place
	b.tails[last] = nil
	b.tails = b.tails[:last]
}

// hold takes size bytes for what must stay in memory; false when there is no
// room even without any hot tail.
func (b *byteBudget) hold(size int64) bool {
	for b.used.Add(size) > b.limit {
		b.used.Add(-size)
		if !b.dropOldest() {
			return false
		}
	}
	return true
}

// dropOldest has one hot tail drop its oldest chunk; false when none has any.
func (b *byteBudget) dropOldest() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.tails {
		b.turn = (b.turn + 1) % len(b.tails)
		if b.tails[b.turn].giveWay() {
			return true
		}
	}
	return false
}

// reservation is space for one write: the chunk it goes into and the bytes of it.
type reservation struct {
	c     *chunk
	buf   []byte // len 0, capacity for the write
	fresh bool   // c is not part of the tail yet
}

// reserve returns room for size bytes that start with sequence number seq.
// Only the log's one writer calls it. Nothing is visible before commit.
func (h *hotTail) reserve(size int) reservation {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.chunks); n > 0 {
		if last := h.chunks[n-1]; cap(last.buf)-len(last.buf) >= size {
			h.reserved = true
			return reservation{c: last, buf: last.buf[len(last.buf):len(last.buf):cap(last.buf)]}
		}
	}
	// Four times what is needed now, so that lone messages do not take a
	// chunk each and a busy topic soon uses large ones.
	c := newChunk(min(4*size, max(size, 256<<10)))
	return reservation{c: c, buf: c.buf, fresh: true}
}

// commit publishes the records written into r. offs are their starts in buf.
func (h *hotTail) commit(r reservation, first uint64, buf []byte, offs []uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := r.c
	h.reserved = false
	if r.fresh {
		if !h.admit(int64(cap(c.buf)), len(offs)) {
			c.release()
			return
		}
		c.first = first
		h.chunks = append(h.chunks, c)
	}
	base := uint32(len(c.buf))
	c.buf = c.buf[:len(c.buf)+len(buf)]
	for _, o := range offs {
		c.offs = append(c.offs, base+o)
	}
	h.messages += len(offs)
	h.drop()
}

// admit makes room in the budget for a chunk of size bytes, dropping the
// tail's own oldest chunks if need be. When there is no room, nothing of the
// tail may stay: it would no longer be the newest part.
func (h *hotTail) admit(size int64, messages int) bool {
	if h.maxMessages == 0 {
		return false
	}
	for h.budget.used.Add(size) > h.budget.limit {
		h.budget.used.Add(-size)
		if len(h.chunks) == 0 {
			return false
		}
		h.dropFirst()
	}
	return true
}

// abandon gives back room whose write failed.
func (h *hotTail) abandon(r reservation) {
	if r.fresh {
		r.c.release()
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reserved = false
}

func (h *hotTail) dropFirst() {
	c := h.chunks[0]
	h.chunks[0] = nil
	h.chunks = h.chunks[1:]
	if len(h.chunks) == 0 {
		h.chunks = nil
	}
	h.messages -= len(c.offs)
	h.budget.used.Add(-int64(cap(c.buf)))
	c.release()
}

// get returns a view of the chunk with seq; the caller releases it.
func (h *hotTail) get(seq uint64) (chunkView, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := sort.Search(len(h.chunks), func(i int) bool { return h.chunks[i].end() > seq })
	if i == len(h.chunks) || seq < h.chunks[i].first {
		return chunkView{}, false
	}
	return h.chunks[i].view(), true
}

// trim drops the chunks that lie wholly below seq, but for one that is being
// written into.
func (h *hotTail) trim(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	keep := 0
	if h.reserved {
		keep = 1
	}
	for len(h.chunks) > keep && h.chunks[0].end() <= seq {
		h.dropFirst()
	}
}

// giveWay drops the oldest chunk, unless it is being written into.
func (h *hotTail) giveWay() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.chunks) == 0 || h.reserved && len(h.chunks) == 1 {
		return false
	}
	h.dropFirst()
	return true
}

// clear drops everything. Nothing may be being written.
func (h *hotTail) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.chunks) > 0 {
		h.dropFirst()
	}
}

// firstSeq is the lowest sequence number held, and false when none is.
func (h *hotTail) firstSeq() (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.chunks) == 0 {
		return 0, false
	}
	return h.chunks[0].first, true
}

// trimAt is the end of the oldest chunk, the largest number without one.
func (h *hotTail) trimAt() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.chunks) == 0 {
		return math.MaxUint64
	}
	return h.chunks[0].end()
}
