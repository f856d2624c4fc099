package seqset

// List holds ranges that are sorted and apart: between two of them lies a number
// that is in neither. It is meant for ranges that mostly come at the end and go
// at the front. The zero value is empty and ready to use.
type List struct {
	ranges []Range // those before head are used up
	head   int
}

// maxIdleRanges is how many ranges an empty List keeps memory for.
const maxIdleRanges = 1024

// All is the ranges, ascending. They are the List's own: not to be changed, and
// good until the List is.
func (l *List) All() []Range { return l.ranges[l.head:] }

// Front is the lowest range; ok is false when there is none.
func (l *List) Front() (r Range, ok bool) {
	if l.head == len(l.ranges) {
		return r, false
	}
	return l.ranges[l.head], true
}

// PopFront takes the lowest range out. There must be one.
func (l *List) PopFront() {
	l.head++
	switch {
	case l.head == len(l.ranges):
		l.clear()
	case l.head >= 64 && l.head*2 >= len(l.ranges):
		l.ranges = l.ranges[:copy(l.ranges, l.ranges[l.head:])]
		l.head = 0
	}
}

// clear forgets all ranges, and their memory when it is much.
func (l *List) clear() {
	l.ranges, l.head = l.ranges[:0], 0
	if cap(l.ranges) > maxIdleRanges {
		l.ranges = nil
	}
}

// search is the index in ranges of the first range that ends above seq.
func (l *List) search(seq uint64) int {
	all := l.All()
	n := len(all)
	if n == 0 || all[n-1].To <= seq { // they mostly grow at the end
		return len(l.ranges)
	}
	return l.head + firstAbove(all, seq)
}

// Add unites the List with a range.
func (l *List) Add(r Range) {
	if n := len(l.ranges); r.From < r.To && (n == l.head || l.ranges[n-1].To < r.From) {
		l.ranges = append(l.ranges, r) // mostly
		return
	}
	l.ranges = append(l.ranges[:l.head], Insert(l.All(), r)...)
}

// AddAll unites the List with ranges, ascending and disjoint.
func (l *List) AddAll(list []Range) {
	if n := len(list); n > 1 && len(l.All()) > 0 && list[0].From <= l.ranges[len(l.ranges)-1].To {
		l.ranges, l.head = Union(l.All(), list), 0
		return
	}
	for _, r := range list {
		l.Add(r)
	}
}

// Overlap is how many numbers of [from, to) are in the List.
func (l *List) Overlap(from, to uint64) (n uint64) {
	for i := l.search(from); i < len(l.ranges) && l.ranges[i].From < to; i++ {
		n += min(l.ranges[i].To, to) - max(l.ranges[i].From, from)
	}
	return n
}

// Gaps returns the numbers of [from, to) that are not in the List, as ranges,
// ascending.
func (l *List) Gaps(from, to uint64) (gaps []Range) {
	for i := l.search(from); i < len(l.ranges) && from < to; i++ {
		r := l.ranges[i]
		if r.From >= to {
			break
		}
		if from < r.From {
			gaps = append(gaps, Range{From: from, To: r.From})
		}
		from = r.To
	}
	if from < to {
		gaps = append(gaps, Range{From: from, To: to})
	}
	return gaps
}

// LastGaps returns the highest n numbers of [from, to) that are not in the
// List, as ranges in descending order.
func (l *List) LastGaps(from, to, n uint64) (gaps []Range) {
	for i := len(l.ranges) - 1; n > 0 && from < to; i-- {
		low, next := from, from
		if i >= l.head {
			r := l.ranges[i]
			if r.From >= to {
				continue
			}
			low, next = max(r.To, from), r.From
		}
		if low < to {
			gap := Range{From: max(low, to-min(n, to)), To: to}
			gaps = append(gaps, gap)
			n -= gap.Len()
		}
		to = next
	}
	return gaps
}
