package seqset

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestListEqualsAMap drives a List and a map through the same random steps.
func TestListEqualsAMap(t *testing.T) {
	const size = 300
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var l List
		in := map[uint64]bool{}
		for range 60 {
			if first, ok := l.Front(); ok && r.IntN(4) == 0 {
				l.PopFront()
				for n := first.From; n < first.To; n++ {
					delete(in, n)
				}
			} else {
				from := r.Uint64N(size)
				to := from + r.Uint64N(12)
				l.Add(Range{From: from, To: to})
				for n := from; n < to; n++ {
					in[n] = true
				}
			}
			checkList(t, &l, in, size+20)
			from := r.Uint64N(size)
			checkQueries(t, &l, in, from, from+r.Uint64N(100), r.Uint64N(40))
		}
	}
}

func checkList(t *testing.T, l *List, in map[uint64]bool, end uint64) {
	t.Helper()
	want := (&model{in: in}).ranges(0, end)
	if !slices.Equal(l.All(), want) {
		t.Fatalf("%v, want %v", l.All(), want)
	}
	if first, ok := l.Front(); ok != (len(want) > 0) || ok && first != want[0] {
		t.Fatalf("the first is %v, %v; want %v", first, ok, want)
	}
}

func checkQueries(t *testing.T, l *List, in map[uint64]bool, from, to, most uint64) {
	t.Helper()
	overlap := uint64(0)
	var outside []uint64
	for n := from; n < to; n++ {
		if in[n] {
			overlap++
		} else {
			outside = append(outside, n)
		}
	}
	if got := l.Overlap(from, to); got != overlap {
		t.Fatalf("%d of [%d,%d) are in %v, want %d", got, from, to, l.All(), overlap)
	}
	if got := listed(l.Gaps(from, to)); !slices.Equal(got, outside) {
		t.Fatalf("%v of [%d,%d) are not in %v, want %v", got, from, to, l.All(), outside)
	}
	gaps := l.LastGaps(from, to, most)
	slices.Reverse(gaps)
	outside = outside[len(outside)-int(min(most, uint64(len(outside)))):]
	if got := listed(gaps); !slices.Equal(got, outside) {
		t.Fatalf("the last %d of [%d,%d) that are not in %v are %v, want %v", most, from, to, l.All(), got, outside)
	}
}

func listed(ranges []Range) (all []uint64) {
	for _, r := range ranges {
		for n := r.From; n < r.To; n++ {
			all = append(all, n)
		}
	}
	return all
}

func TestLongListIsUsedUpFromTheFront(t *testing.T) {
	var l List
	const n = 10_000
	for i := range uint64(n) {
		l.Add(Range{From: 2 * i, To: 2*i + 1})
	}
	for i := range uint64(n) {
		if first, ok := l.Front(); !ok || first.From != 2*i {
			t.Fatalf("the first is %v, want %d", first, 2*i)
		}
		l.PopFront()
	}
	if cap(l.ranges) > maxIdleRanges {
		t.Errorf("an empty list keeps memory for %d ranges", cap(l.ranges))
	}
}
