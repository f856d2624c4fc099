package diskqueue

import "slices"

// segmentList is the segments of a log, ascending and apart from one another. A
// list that readers know of never changes.
type segmentList []*segment

// list is what the log is made of now.
func (l *Log) list() segmentList {
	if list := l.segments.Load(); list != nil {
		return *list
	}
	return nil
}

// setList puts another list into the place of that which readers know. The
// caller holds l.mu.
func (l *Log) setList(list segmentList) { l.segments.Store(&list) }

// at is the index of the last segment that begins at or below seq; -1 when none
// does.
func (list segmentList) at(seq uint64) int {
	low, high := 0, len(list)
	for low < high {
		if mid := int(uint(low+high) / 2); list[mid].base <= seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low - 1
}

// from is the index of the first segment that begins at or above seq.
func (list segmentList) from(seq uint64) int {
	if seq == 0 {
		return 0
	}
	return list.at(seq-1) + 1
}

// of is the only segment that may hold seq; nil when none may.
func (list segmentList) of(seq uint64) *segment {
	if i := list.at(seq); i >= 0 {
		return list[i]
	}
	return nil
}

// has says whether a segment is one of the list.
func (list segmentList) has(s *segment) bool { return list.of(s.base) == s }

// between is the segments that may hold numbers of [from, to).
func (list segmentList) between(from, to uint64) segmentList {
	first, end := max(list.at(from), 0), list.from(to)
	return list[min(first, end):end]
}

// with is a list with one more segment. It may share its memory: what lies
// behind the end of a list is written to once, as every shorter one has memory of
// its own.
func (list segmentList) with(s *segment) segmentList { return append(list, s) }

// without is a list without its segment s.
func (list segmentList) without(s *segment) segmentList {
	return slices.DeleteFunc(slices.Clone(list), func(x *segment) bool { return x == s })
}

// replace is a list with others in the place of n segments from the i-th on.
func (list segmentList) replace(i, n int, others segmentList) segmentList {
	return slices.Replace(slices.Clone(list), i, i+n, others...)
}

// layoutOf is where the records of a segment are. It takes the log's lock only
// for the one that is appended to.
func (l *Log) layoutOf(s *segment) layout {
	if fixed := s.fixed.Load(); fixed != nil {
		return *fixed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.layout
}
