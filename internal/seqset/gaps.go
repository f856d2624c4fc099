package seqset

// gapBlocks is how many blocks one call of Gaps looks at: some 100 µs at worst.
const gapBlocks = 1024

// Gaps appends to dst the ranges of [from, to) that are not in the set,
// ascending and apart from each other, most of them at most. It looks at a
// bounded part of the set, so next says how far it came: ask again from there,
// until next is to. A gap that goes on beyond next comes in two parts.
func (s *Set) Gaps(dst []Range, from, to uint64, most int) (gaps []Range, next uint64) {
	start := len(dst)
	at := max(from, s.floor)
	for blocks := 0; at < to; {
		if len(dst)-start >= most || blocks >= gapBlocks {
			return dst, at
		}
		if i := s.firstFull(at); i < len(s.full) && s.full[i].From <= at {
			at = s.full[i].To
			continue
		}
		end := min(to, (at|blockMask)+1) // of the block
		if at >= s.max {
			end = to
		}
		open := Range{at, end}
		if b := s.block(at >> blockShift); b != nil && at < s.max {
			open = b.gap(at, end)
		}
		if open.From < open.To {
			dst = joinGap(dst, start, open)
		}
		if at = open.To; at >= end {
			blocks++
		}
	}
	return dst, to
}

// gap is the first run of open numbers in [from, to), which is inside the
// block; an empty range at to when there is none.
func (b *block) gap(from, to uint64) Range {
	base := from &^ blockMask
	first := min(base+uint64(b.next(uint32(from-base))), to)
	if first == to {
		return Range{to, to}
	}
	return Range{first, min(base+uint64(b.nextMember(uint32(first-base))), to)}
}

// joinGap appends r to the gaps of dst from start on, or lengthens the last.
func joinGap(dst []Range, start int, r Range) []Range {
	if n := len(dst); n > start && dst[n-1].To == r.From {
		dst[n-1].To = r.To
		return dst
	}
	return append(dst, r)
}
