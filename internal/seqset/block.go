package seqset

import (
	"math/bits"
	"slices"
)

const (
	blockShift = 12
	blockSize  = 1 << blockShift
	blockMask  = blockSize - 1
	// listMax is how many open numbers a block may have to list them.
	listMax = 32
)

// block is the members among 4,096 numbers: as bits, or, when few numbers are
// left open, as a list of those.
type block struct {
	open int                     // how many numbers are not members
	bits *[blockSize / 64]uint64 // nil when the open numbers are listed
	list []uint16                // ascending
}

func newBlock() *block {
	return &block{open: blockSize, bits: new([blockSize / 64]uint64)}
}

func (b *block) has(i uint32) bool {
	if b.bits == nil {
		return !slices.Contains(b.list, uint16(i))
	}
	return b.bits[i/64]&(1<<(i%64)) != 0
}

// add returns false when i was a member already.
func (b *block) add(i uint32) bool {
	if b.bits == nil {
		at, found := slices.BinarySearch(b.list, uint16(i))
		if !found {
			return false
		}
		b.list = slices.Delete(b.list, at, at+1)
		b.open--
		return true
	}
	w, m := &b.bits[i/64], uint64(1)<<(i%64)
	if *w&m != 0 {
		return false
	}
	*w |= m
	b.open--
	return true
}

// addRange adds [from, to).
func (b *block) addRange(from, to uint32) {
	if b.bits == nil {
		b.list = slices.DeleteFunc(b.list, func(i uint16) bool { return from <= uint32(i) && uint32(i) < to })
		b.open = len(b.list)
		return
	}
	for from < to {
		w, end := from/64, min(to, (from/64+1)*64)
		m := ^uint64(0) << (from % 64) & (^uint64(0) >> (63 - (end-1)%64))
		b.open -= bits.OnesCount64(m &^ b.bits[w])
		b.bits[w] |= m
		from = end
	}
}

// next is the first open number at or above i; blockSize when there is none.
func (b *block) next(i uint32) uint32 {
	if b.bits == nil {
		at, _ := slices.BinarySearch(b.list, uint16(min(i, blockMask)))
		if i > blockMask || at == len(b.list) {
			return blockSize
		}
		return uint32(b.list[at])
	}
	return b.scan(i, ^uint64(0))
}

// nextMember is the first member at or above i; blockSize when there is none.
func (b *block) nextMember(i uint32) uint32 {
	if b.bits == nil {
		for i < blockSize && !b.has(i) {
			i++
		}
		return i
	}
	return b.scan(i, 0)
}

// scan finds the first bit at or above i in the bits XOR flip.
func (b *block) scan(i uint32, flip uint64) uint32 {
	for i < blockSize {
		if w := (b.bits[i/64] ^ flip) >> (i % 64); w != 0 {
			return i + uint32(bits.TrailingZeros64(w))
		}
		i = (i/64 + 1) * 64
	}
	return blockSize
}

// shrink lists the open numbers when they are few.
func (b *block) shrink() {
	if b.bits == nil || b.open > listMax {
		return
	}
	b.list = make([]uint16, 0, b.open)
	for i := b.next(0); i < blockSize; i = b.next(i + 1) {
		b.list = append(b.list, uint16(i))
	}
	b.bits = nil
}

func (b *block) clone() *block {
	c := &block{open: b.open, list: slices.Clone(b.list)}
	if b.bits != nil {
		words := *b.bits
		c.bits = &words
	}
	return c
}
