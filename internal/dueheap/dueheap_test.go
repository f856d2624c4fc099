package dueheap

import (
	"math"
	"slices"
	"testing"
)

func ordered(a, b Item) int {
	if pack(a).before(pack(b)) {
		return -1
	}
	return 1
}

// check wants every place to be due no earlier than the one above.
func (h *Heap) check(t testing.TB) {
	t.Helper()
	i := 0
	for _, page := range h.pages {
		for _, d := range page {
			if i > 0 && d.before(*h.at((i - 1) / children)) {
				t.Fatalf("place %d, of %d, is due before the one above", i, d.seq>>1)
			}
			i++
		}
	}
	if i != h.n {
		t.Fatalf("%d items, counted %d", i, h.n)
	}
}

func TestItemsComeBackAsTheyWere(t *testing.T) {
	for _, i := range []Item{
		{}, {Due: -5, Seq: 1, Attempts: 1}, {Due: 1 << 40, Seq: 1<<62 + 3, Attempts: math.MaxUint16, Delayed: true},
	} {
		var h Heap
		h.Push(i)
		if next := h.Next(); next != i || h.NextDue() != i.Due || h.Pop() != i || h.Len() != 0 {
			t.Errorf("%+v came back as %+v", i, next)
		}
	}
}

// TestDueTimeFitsIntoNanoseconds: it must not wrap around to one that has passed.
func TestDueTimeFitsIntoNanoseconds(t *testing.T) {
	for _, due := range []int64{math.MaxInt64, math.MaxInt64 / 1_000_000, 1 << 47, math.MinInt64} {
		var h Heap
		h.Push(Item{Due: due})
		if got := h.NextDue(); (got > 0) != (due > 0) || (got*1e6 > 0) != (due > 0) {
			t.Errorf("due at %d becomes %d", due, got)
		}
	}
}

// TestItemsComeOutInOrderWhateverTheirNumber crosses the ends of pages both
// ways, with some taken out of the middle.
func TestItemsComeOutInOrderWhateverTheirNumber(t *testing.T) {
	var h Heap
	for _, n := range []int{1, 3*pageLen + 1, pageLen, 20, 2 * pageLen} {
		for i := range n {
			h.Push(Item{Seq: uint64(i), Due: int64(i * 7919 % 10007)})
		}
		h.RemoveRange(10, 1000)
		h.check(t)
		kept := n - max(0, min(n, 1000)-10)
		if h.Len() != kept {
			t.Fatalf("%d of %d are left, want %d", h.Len(), n, kept)
		}
		for last := (Item{}); h.Len() > 0; kept-- {
			if next, d := h.Next(), h.Pop(); d != next || d != last && ordered(d, last) < 0 {
				t.Fatalf("%v comes after %v, and %v was next", d, last, next)
			} else {
				last = d
			}
		}
		if kept != 0 {
			t.Errorf("%d of %d did not come out", kept, n)
		}
	}
	if n := len(h.pages); n > 2 {
		t.Errorf("%d pages are kept", n)
	}
}

func TestInOrderListsWhatIsDueFirst(t *testing.T) {
	var h Heap
	for range h.InOrder() {
		t.Error("an empty heap lists something")
	}
	for i := range 2*pageLen + 3 {
		h.Push(Item{Seq: uint64(i), Due: int64(i * 7919 % 1009), Attempts: uint16(i)})
	}
	var want []Item
	h.Each(func(i Item) { want = append(want, i) })
	slices.SortFunc(want, ordered)
	if got := slices.Collect(h.InOrder()); !slices.Equal(got, want) {
		t.Errorf("%d of %d are listed, or in another order", len(got), len(want))
	}
	n := 0
	for got := range h.InOrder() {
		if got != want[n] {
			t.Fatalf("at %d is %+v, want %+v", n, got, want[n])
		}
		if n++; n == 7 {
			break
		}
	}
	h.check(t)
}

func BenchmarkPushPop(b *testing.B) {
	b.ReportAllocs()
	var h Heap
	seed := uint64(1)
	push := func(i int) {
		seed = seed*6364136223846793005 + 1442695040888963407
		h.Push(Item{Seq: uint64(i), Due: int64(seed >> 40)})
	}
	for i := range 100_000 {
		push(i)
	}
	for i := 0; b.Loop(); i++ {
		push(i)
		h.Pop()
	}
}
