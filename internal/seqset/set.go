// Package seqset holds sets of sequence numbers that grow from a floor: all
// numbers below it are members, and what is added above it fills up behind a
// few stragglers. A set costs memory for the gaps, not for the members. It
// never loses a member, does no I/O and starts no goroutine.
package seqset

import (
	"sort"
)

// Set is a set of sequence numbers that only grows. The zero value is an empty
// set with floor 0. A Set is not safe for concurrent use.
//
// Above the floor a number belongs to a block of 4,096. A block without
// members is absent, a block with some is in blocks, and whole blocks are
// ranges in full.
type Set struct {
	floor uint64
	max   uint64 // 1 + the highest member ever
	// blocks holds the blocks that have members and open numbers, by number.
	// The one that holds the floor may be behind: it shows what is at or above
	// the floor rightly, but some numbers below as open.
	blocks map[uint64]*block
	// last is the block used last, lastKey its number; nil when there is none.
	last    *block
	lastKey uint64
	// full holds the whole blocks: aligned, sorted, apart from each other and
	// above the floor.
	full []Range
}

// New is the set of all numbers below floor.
func New(floor uint64) *Set { return &Set{floor: floor, max: floor} }

// Floor is the smallest number that is not in the set.
func (s *Set) Floor() uint64 { return s.floor }

// Max is one more than the highest member, at least Floor.
func (s *Set) Max() uint64 { return s.max }

// Contains says whether seq is in the set.
func (s *Set) Contains(seq uint64) bool {
	if seq < s.floor {
		return true
	}
	if seq >= s.max {
		return false
	}
	if b := s.block(seq >> blockShift); b != nil {
		return b.has(uint32(seq & blockMask))
	}
	return s.inFull(seq)
}

// Add puts seq into the set; it returns false when it was in already. Adding
// the floor to a set without members above it costs no memory.
func (s *Set) Add(seq uint64) bool {
	if seq == s.floor && seq >= s.max {
		s.floor++
		s.max = s.floor
		if s.floor&blockMask == 0 && s.blocks != nil {
			s.dropBlock(seq >> blockShift)
		}
		return true
	}
	return s.add(seq)
}

func (s *Set) add(seq uint64) bool {
	if seq < s.floor {
		return false
	}
	key := seq >> blockShift
	b := s.block(key)
	if b == nil {
		if s.inFull(seq) {
			return false
		}
		if seq != s.floor {
			b = s.makeBlock(key)
		}
	}
	if b != nil && !b.add(uint32(seq&blockMask)) {
		return false
	}
	s.max = max(s.max, seq+1)
	if b != nil && b.open == 0 {
		s.dropBlock(key)
		s.addFull(Range{key << blockShift, (key + 1) << blockShift})
	}
	if seq == s.floor {
		s.raise(seq + 1)
	}
	return true
}

// AddRange puts the numbers from from up to, not including, to into the set.
// Its cost does not depend on how many they are, only on the blocks in place.
func (s *Set) AddRange(from, to uint64) {
	from = max(from, s.floor)
	if from >= to {
		return
	}
	s.max = max(s.max, to)
	if from == s.floor {
		s.raise(to)
		return
	}
	first, end := (from+blockMask)>>blockShift, to>>blockShift
	if first > end { // inside one block
		s.addBits(first-1, from, to)
		return
	}
	s.addBits(first-1, from, first<<blockShift)
	if first < end {
		s.dropBlocks(first, end)
		s.addFull(Range{first << blockShift, end << blockShift})
	}
	s.addBits(end, end<<blockShift, to)
}

// addBits adds [from, to), which lies in the block key and above the floor.
func (s *Set) addBits(key, from, to uint64) {
	if from >= to {
		return
	}
	b := s.block(key)
	if b == nil {
		if s.inFull(from) {
			return
		}
		b = s.makeBlock(key)
	}
	b.addRange(uint32(from&blockMask), uint32((to-1)&blockMask)+1)
	if b.open == 0 {
		s.dropBlock(key)
		s.addFull(Range{key << blockShift, (key + 1) << blockShift})
	}
}

// raise makes every number below floor a member and moves the floor on over
// the members that it meets.
func (s *Set) raise(floor uint64) {
	if floor>>blockShift != s.floor>>blockShift {
		s.dropBlocks(s.floor>>blockShift, floor>>blockShift)
	}
	for {
		i := 0
		for i < len(s.full) && s.full[i].From <= floor {
			floor = max(floor, s.full[i].To)
			i++
		}
		if i > 0 {
			s.dropBlocks(s.floor>>blockShift, floor>>blockShift)
			s.cutFull(i)
		}
		b := s.block(floor >> blockShift)
		if b == nil {
			break
		}
		if next := b.next(uint32(floor & blockMask)); next < blockSize {
			floor = floor&^blockMask | uint64(next)
			break
		}
		s.dropBlock(floor >> blockShift)
		floor = floor&^blockMask + blockSize
	}
	s.floor = floor
	s.max = max(s.max, floor)
}

// block finds the block key in blocks; nil when it is not there.
func (s *Set) block(key uint64) *block {
	if s.last != nil && s.lastKey == key {
		return s.last
	}
	b := s.blocks[key]
	if b != nil {
		s.use(key, b)
	}
	return b
}

// makeBlock makes the absent block key.
func (s *Set) makeBlock(key uint64) *block {
	b := newBlock()
	if s.floor>>blockShift == key {
		b.addRange(0, uint32(s.floor&blockMask))
	}
	if s.blocks == nil {
		s.blocks = make(map[uint64]*block)
	}
	s.blocks[key] = b
	s.use(key, b)
	return b
}

// use makes b the block used last. The one before is left alone for a while,
// so now is the time to make it small.
func (s *Set) use(key uint64, b *block) {
	if s.last != nil {
		s.last.shrink()
	}
	s.lastKey, s.last = key, b
}

func (s *Set) dropBlock(key uint64) {
	delete(s.blocks, key)
	if s.lastKey == key {
		s.last = nil
	}
	if len(s.blocks) == 0 {
		s.blocks = nil // a map keeps the room of its largest days
	}
}

// dropBlocks forgets the blocks from first up to, not including, end.
func (s *Set) dropBlocks(first, end uint64) {
	if end-first <= uint64(len(s.blocks)) {
		for key := first; key < end; key++ {
			s.dropBlock(key)
		}
		return
	}
	for key := range s.blocks {
		if first <= key && key < end {
			s.dropBlock(key)
		}
	}
}

func (s *Set) inFull(seq uint64) bool {
	i := s.firstFull(seq)
	return i < len(s.full) && s.full[i].From <= seq
}

// firstFull is the index of the first full range that ends above seq.
func (s *Set) firstFull(seq uint64) int {
	n := len(s.full)
	if n == 0 || s.full[n-1].To <= seq { // numbers are mostly added at the top
		return n
	}
	return sort.Search(n, func(i int) bool { return s.full[i].To > seq })
}

// addFull merges an aligned range into full.
func (s *Set) addFull(r Range) {
	i := 0
	if r.From > 0 {
		i = s.firstFull(r.From - 1) // one that ends at r.From touches r
	}
	j := i
	for j < len(s.full) && s.full[j].From <= r.To {
		r.From, r.To = min(r.From, s.full[j].From), max(r.To, s.full[j].To)
		j++
	}
	if i == j {
		s.full = append(s.full, Range{})
		copy(s.full[i+1:], s.full[i:])
	} else {
		s.full = append(s.full[:i+1], s.full[j:]...)
	}
	s.full[i] = r
}

// cutFull drops the first n full ranges.
func (s *Set) cutFull(n int) {
	s.full = s.full[:copy(s.full, s.full[n:])]
	if len(s.full) == 0 {
		s.full = nil
	}
}

// Clone is an independent copy.
func (s *Set) Clone() *Set {
	c := &Set{floor: s.floor, max: s.max}
	c.full = append(c.full, s.full...)
	if len(s.blocks) > 0 {
		c.blocks = make(map[uint64]*block, len(s.blocks))
	}
	for key, b := range s.blocks {
		c.blocks[key] = b.clone()
	}
	return c
}
