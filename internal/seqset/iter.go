package seqset

import (
	"iter"
	"slices"
)

// Ranges lists the members at or above the floor as maximal ranges, ascending.
// The set must not change meanwhile.
func (s *Set) Ranges() iter.Seq[Range] { return s.rangesFrom(s.floor) }

// Open lists the numbers in [from, to) that are not in the set, ascending. It
// costs time for those numbers and for the ranges between them, not for
// to - from. The set must not change meanwhile.
func (s *Set) Open(from, to uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		at := max(from, s.floor)
		for r := range s.rangesFrom(at) {
			for ; at < min(r.From, to); at++ {
				if !yield(at) {
					return
				}
			}
			at = max(at, r.To)
			if at >= to {
				return
			}
		}
		for ; at < to; at++ {
			if !yield(at) {
				return
			}
		}
	}
}

// rangesFrom lists the members from start (at least the floor) on as maximal
// ranges. It joins what pieces leaves apart.
func (s *Set) rangesFrom(start uint64) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		var run Range
		for r := range s.pieces(start) {
			if r.From == run.To && run.Len() > 0 {
				run.To = r.To
				continue
			}
			if run.Len() > 0 && !yield(run) {
				return
			}
			run = r
		}
		if run.Len() > 0 {
			yield(run)
		}
	}
}

// pieces lists the members from start on, ascending: the runs in each block
// and the full ranges.
func (s *Set) pieces(start uint64) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		keys := s.keysFrom(start >> blockShift)
		full := s.full[s.firstFull(start):]
		for len(keys) > 0 || len(full) > 0 {
			if len(keys) == 0 || len(full) > 0 && full[0].From < keys[0]<<blockShift {
				if !yield(Range{max(full[0].From, start), full[0].To}) {
					return
				}
				full = full[1:]
				continue
			}
			if !s.blocks[keys[0]].runs(keys[0]<<blockShift, start, yield) {
				return
			}
			keys = keys[1:]
		}
	}
}

// keysFrom lists the numbers of the blocks from first on, ascending.
func (s *Set) keysFrom(first uint64) []uint64 {
	if len(s.blocks) == 0 {
		return nil
	}
	keys := make([]uint64, 0, len(s.blocks))
	for key := range s.blocks {
		if key >= first {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// runs yields the runs of members, from start on, of the block whose first
// number is base; it returns false when yield did.
func (b *block) runs(base, start uint64, yield func(Range) bool) bool {
	i := uint32(0)
	if start > base {
		i = uint32(start - base)
	}
	for i = b.nextMember(i); i < blockSize; {
		end := b.next(i)
		if !yield(Range{base + uint64(i), base + uint64(end)}) {
			return false
		}
		i = b.nextMember(end)
	}
	return true
}
