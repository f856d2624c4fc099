package loadgen

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// bitmap is a set of numbers from 0 that grows with the highest. Its methods
// may be called concurrently.
type bitmap struct {
	chunks atomic.Pointer[[]*chunk]
	mu     sync.Mutex // serialises growing
}

// chunk is 65,536 numbers in 8 KiB.
type chunk [chunkWords]atomic.Uint64

const chunkWords = 1024

// add sets the bits of a word, the numbers word*64 to word*64+63, and returns
// those that were set before.
func (b *bitmap) add(word, set uint64) (before uint64) {
	return b.chunk(word / chunkWords)[word%chunkWords].Or(set) & set
}

func (b *bitmap) chunk(i uint64) *chunk {
	if all := b.chunks.Load(); all != nil && i < uint64(len(*all)) {
		return (*all)[i]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*chunk
	if p := b.chunks.Load(); p != nil {
		all = *p
	}
	if i >= uint64(len(all)) {
		// Readers may still use the old list, so it is copied and not extended.
		grown := make([]*chunk, i+1)
		for k := copy(grown, all); k < len(grown); k++ {
			grown[k] = new(chunk)
		}
		all = grown
		b.chunks.Store(&all)
	}
	return all[i]
}

// missing counts the numbers below end that are not in the set.
func (b *bitmap) missing(end uint64) int64 {
	there := 0
	if all := b.chunks.Load(); all != nil {
		for i, c := range *all {
			for k := range c {
				first := (uint64(i)*chunkWords + uint64(k)) * 64
				if first >= end {
					return int64(end) - int64(there)
				}
				word := c[k].Load()
				if rest := end - first; rest < 64 {
					word &= 1<<rest - 1
				}
				there += bits.OnesCount64(word)
			}
		}
	}
	return int64(end) - int64(there)
}
