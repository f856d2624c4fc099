package diskqueue

import (
	"slices"
	"testing"

	"qmq/message"
)

// TestDeferredMessagesAreListedWhateverTheirNumber fills pages by lists of all
// sizes and cuts the segment at, before and behind their ends.
func TestDeferredMessagesAreListedWhateverTheirNumber(t *testing.T) {
	for _, end := range []uint64{0, 1, delayedPage - 1, delayedPage, delayedPage + 1, 3*delayedPage + 7, 1 << 40} {
		s := &segment{}
		var want []message.Delayed
		for n := range 120 {
			var list []message.Delayed
			for range n {
				list = append(list, message.Delayed{Seq: uint64(len(want)), DeliverAt: int64(n)})
				want = append(want, list[len(list)-1])
			}
			s.addDelayed(list)
		}
		before := slices.Clone(s.delayed)
		if got := slices.Concat(before...); !slices.Equal(got, want) {
			t.Fatalf("%d are listed, want %d", len(got), len(want))
		}
		s.syncedEnd = end
		s.cut()
		if got := slices.Concat(s.delayed...); !slices.Equal(got, want[:min(end, uint64(len(want)))]) {
			t.Errorf("%d are listed after a cut at %d", len(got), end)
		}
		if got := slices.Concat(before...); !slices.Equal(got, want) {
			t.Errorf("a cut at %d changes what was read before it", end)
		}
	}
}
