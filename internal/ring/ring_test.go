package ring

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func list(r *Ring[int]) (all []int) {
	for i := range r.Len() {
		all = append(all, *r.At(i))
	}
	return all
}

// TestRingEqualsASlice drives a ring and a slice through the same random steps.
func TestRingEqualsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Ring[int]
		var want []int
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1:
				r.PushBack(i)
				want = append(want, i)
			case 2, 3:
				r.PushFront(i)
				want = slices.Insert(want, 0, i)
			case 4, 5:
				if len(want) > 0 {
					if got := r.PopFront(); got != want[0] {
						t.Fatalf("the first is %d, want %d", got, want[0])
					}
					want = slices.Delete(want, 0, 1)
				}
			case 6:
				odd := func(n int) bool { return n%3 == 1 }
				r.DeleteFunc(odd)
				want = slices.DeleteFunc(want, odd)
			}
			if !slices.Equal(list(&r), want) {
				t.Fatalf("%v, want %v", list(&r), want)
			}
		}
	})
}

func TestMemoryOfManyElementsIsGivenBack(t *testing.T) {
	var r Ring[int]
	const n = 100_000
	for i := range n {
		r.PushBack(i)
	}
	for i := range n - 5 {
		if got := r.PopFront(); got != i {
			t.Fatalf("the first is %d, want %d", got, i)
		}
	}
	if len(r.elements) > 64*minLen || !slices.Equal(list(&r), []int{n - 5, n - 4, n - 3, n - 2, n - 1}) {
		t.Errorf("%d places are kept for %v", len(r.elements), list(&r))
	}
}
