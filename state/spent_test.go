package state

import "testing"

func TestHowTheLastDeliveryEndedIsKept(t *testing.T) {
	for _, ended := range []int64{1, 2, 1_800_000_000_123} {
		for _, requeued := range []bool{false, true} {
			o := OpenMessage{Seq: 1, Attempts: 3, Due: SpentDue(ended, requeued)}
			at, how, ok := o.Spent()
			if !ok || at != ended || how != requeued {
				t.Errorf("%d, %v comes back as %d, %v, %v", ended, requeued, at, how, ok)
			}
		}
	}
	for _, due := range []int64{0, 1, 1_800_000_000_123} {
		if _, _, ok := (&OpenMessage{Due: due}).Spent(); ok {
			t.Errorf("a message that is due at %d is spent", due)
		}
	}
}
