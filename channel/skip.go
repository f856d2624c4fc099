package channel

import (
	"sort"

	"qmq/internal/seqset"
)

// skipList holds the ranges at or above the cursor that the cursor jumps over:
// delayed, void and dropped messages. They are sorted, disjoint and apart.
type skipList struct {
	ranges []seqset.Range // those before head are used up
	head   int
}

func (s *skipList) all() []seqset.Range { return s.ranges[s.head:] }

// front is the lowest range; ok is false when there is none.
func (s *skipList) front() (r seqset.Range, ok bool) {
	if s.head == len(s.ranges) {
		return r, false
	}
	return s.ranges[s.head], true
}

func (s *skipList) popFront() {
	s.head++
	switch {
	case s.head == len(s.ranges):
		s.clear()
	case s.head >= 64 && s.head*2 >= len(s.ranges):
		s.ranges = s.ranges[:copy(s.ranges, s.ranges[s.head:])]
		s.head = 0
	}
}

// clear forgets all ranges, and their room when it is large.
func (s *skipList) clear() {
	s.ranges, s.head = s.ranges[:0], 0
	if cap(s.ranges) > 1024 {
		s.ranges = nil
	}
}

// search is the index in ranges of the first range that ends above seq.
func (s *skipList) search(seq uint64) int {
	all := s.all()
	n := len(all)
	if n == 0 || all[n-1].To <= seq { // they mostly grow at the end
		return len(s.ranges)
	}
	return s.head + sort.Search(n, func(i int) bool { return all[i].To > seq })
}

// add merges a range into the list.
func (s *skipList) add(r seqset.Range) {
	if r.From >= r.To {
		return
	}
	i := len(s.ranges)
	if n := i; n == s.head || s.ranges[n-1].To < r.From {
		s.ranges = append(s.ranges, r)
		return
	}
	if r.From > 0 {
		i = s.search(r.From - 1) // one that ends at r.From touches r
	} else {
		i = s.head
	}
	j := i
	for j < len(s.ranges) && s.ranges[j].From <= r.To {
		r.From, r.To = min(r.From, s.ranges[j].From), max(r.To, s.ranges[j].To)
		j++
	}
	switch {
	case i < j:
		s.ranges = append(s.ranges[:i+1], s.ranges[j:]...)
	case i == s.head && s.head > 0:
		s.head--
		i--
	default:
		s.ranges = append(s.ranges, seqset.Range{})
		copy(s.ranges[i+1:], s.ranges[i:])
	}
	s.ranges[i] = r
}

// overlap is how many numbers of [from, to) are in the list.
func (s *skipList) overlap(from, to uint64) (n uint64) {
	for i := s.search(from); i < len(s.ranges) && s.ranges[i].From < to; i++ {
		n += min(s.ranges[i].To, to) - max(s.ranges[i].From, from)
	}
	return n
}

// lastGaps returns the highest n numbers of [from, to) that are not in the
// list, as ranges in descending order.
func (s *skipList) lastGaps(from, to, n uint64) (gaps []seqset.Range) {
	for i := len(s.ranges) - 1; n > 0 && from < to; i-- {
		low, next := from, from
		if i >= s.head {
			r := s.ranges[i]
			if r.From >= to {
				continue
			}
			low, next = max(r.To, from), r.From
		}
		if low < to {
			gap := seqset.Range{From: max(low, to-min(n, to)), To: to}
			gaps = append(gaps, gap)
			n -= gap.Len()
		}
		to = next
	}
	return gaps
}
