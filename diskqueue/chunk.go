package diskqueue

import (
	"sync"
	"sync/atomic"
)

// chunk is a run of consecutive verified records in memory: a part of the hot
// tail, or a stretch read back from a segment. Records are only ever appended
// behind those that readers know of, so a view taken under the owner's lock
// can be read without it.
type chunk struct {
	first uint64   // sequence number of the first record
	buf   []byte   // the records
	offs  []uint32 // where each starts in buf
	refs  atomic.Int32
}

// chunkView is the part of a chunk that was complete when the view was taken.
// It holds a reference on the chunk.
type chunkView struct {
	c     *chunk
	first uint64
	buf   []byte
	offs  []uint32
}

// record returns the bytes from the record with seq on.
func (v *chunkView) record(seq uint64) []byte { return v.buf[v.offs[seq-v.first]:] }

// holds says whether seq is in the view.
func (v *chunkView) holds(seq uint64) bool {
	return v.c != nil && seq-v.first < uint64(len(v.offs))
}

// view takes a reference. The caller holds the lock of the chunk's owner.
func (c *chunk) view() chunkView {
	c.refs.Add(1)
	return chunkView{c: c, first: c.first, buf: c.buf, offs: c.offs}
}

func (c *chunk) end() uint64 { return c.first + uint64(len(c.offs)) }

// release gives a reference back; the last one returns the memory to its pool.
func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		putChunk(c)
	}
}

// chunkClasses are the sizes that are pooled. Larger chunks are left to the
// garbage collector.
var chunkClasses = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20}

var chunkPools [len(chunkClasses)]sync.Pool

// newChunk returns an empty chunk with room for at least size bytes and one
// reference, the caller's.
func newChunk(size int) *chunk {
	for i, class := range chunkClasses {
		if size > class {
			continue
		}
		c, _ := chunkPools[i].Get().(*chunk)
		if c == nil {
			c = &chunk{buf: make([]byte, 0, class)}
		}
		c.refs.Store(1)
		return c
	}
	c := &chunk{buf: make([]byte, 0, size)}
	c.refs.Store(1)
	return c
}

func putChunk(c *chunk) {
	for i, class := range chunkClasses {
		if cap(c.buf) == class {
			c.buf, c.offs, c.first = c.buf[:0], c.offs[:0], 0
			chunkPools[i].Put(c)
			return
		}
	}
}
