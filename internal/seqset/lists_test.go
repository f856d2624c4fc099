package seqset

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawList is some ranges below 200, in any order, overlapping, some of them empty.
func drawList(t *rapid.T, name string) (list []Range) {
	for range rapid.IntRange(0, 8).Draw(t, name+" ranges") {
		from := rapid.Uint64Range(0, 190).Draw(t, "from")
		list = append(list, Range{from, from + rapid.Uint64Range(0, 10).Draw(t, "size")})
	}
	return list
}

func numbers(lists ...[]Range) map[uint64]bool {
	set := make(map[uint64]bool)
	for _, r := range slices.Concat(lists...) {
		for n := r.From; n < r.To; n++ {
			set[n] = true
		}
	}
	return set
}

// wantUnited checks that a list is united and holds exactly what want says.
func wantUnited(t *rapid.T, what string, list []Range, want func(n uint64) bool) {
	for i, r := range list {
		if r.Len() == 0 || i > 0 && list[i-1].To >= r.From {
			t.Fatalf("%s is not united: %v", what, list)
		}
	}
	got := numbers(list)
	for n := range uint64(210) {
		if got[n] != want(n) {
			t.Fatalf("%s: %d is in %v: %v", what, n, list, got[n])
		}
	}
}

func TestListsOfRangesAreSetsOfNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawList(t, "a"), drawList(t, "b")
		inA, inB := numbers(a), numbers(b)
		wasA := slices.Clone(a)
		union := Union(a, b)
		wantUnited(t, "union", union, func(n uint64) bool { return inA[n] || inB[n] })
		wantUnited(t, "difference", Difference(a, b), func(n uint64) bool { return inA[n] && !inB[n] })
		if !slices.Equal(a, wasA) {
			t.Fatal("the lists were changed")
		}
		inserted := Union(a)
		for _, r := range b {
			inserted = Insert(inserted, r)
			if both := r.Overlap(Range{50, 100}); both.Len() != min(max(r.To, 50), 100)-min(max(r.From, 50), 100) {
				t.Fatalf("%v and 50 to 100 overlap by %v", r, both)
			}
			meets := false
			for n := r.From; n < r.To; n++ {
				meets = meets || inA[n]
			}
			if Meets(a, r) != meets {
				t.Fatalf("%v meets %v: %v", a, r, !meets)
			}
		}
		if !slices.Equal(inserted, union) {
			t.Fatalf("inserted one by one: %v, want %v", inserted, union)
		}
	})
}

func TestTouchingRangesMerge(t *testing.T) {
	var list []Range
	for _, r := range []Range{{10, 20}, {40, 50}, {5, 5}, {20, 25}, {30, 31}, {24, 41}, {60, 70}} {
		list = Insert(list, r)
	}
	if want := []Range{{10, 50}, {60, 70}}; !slices.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
}
