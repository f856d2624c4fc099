package diskqueue

import (
	"slices"
	"testing"

	"qmq/message"
)

// TestDeferredMessagesAreListedWhateverTheirNumber fills pages by lists of all
// sizes and cuts the segment at, before and behind their ends.
func TestDeferredMessagesAreListedWhateverTheirNumber(t *testing.T) {
	for _, end := range []uint64{0, 1, marksPage - 1, marksPage, marksPage + 1, 3*marksPage + 7, 1 << 40} {
		s := &segment{}
		var want []message.Mark
		for n := range 120 {
			var list []message.Mark
			for range n {
				list = append(list, message.Mark{Seq: uint64(len(want)), DeliverAt: int64(n)})
				want = append(want, list[len(list)-1])
			}
			s.addMarks(list)
		}
		before := slices.Clone(s.marks)
		if got := slices.Concat(before...); !slices.Equal(got, want) {
			t.Fatalf("%d are listed, want %d", len(got), len(want))
		}
		s.syncedEnd = end
		s.cut()
		if got := slices.Concat(s.marks...); !slices.Equal(got, want[:min(end, uint64(len(want)))]) {
			t.Errorf("%d are listed after a cut at %d", len(got), end)
		}
		if got := slices.Concat(before...); !slices.Equal(got, want) {
			t.Errorf("a cut at %d changes what was read before it", end)
		}
	}
}
