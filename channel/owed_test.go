package channel

import (
	"math"
	"slices"
	"testing"
	"time"

	"qmq/internal/seqset"
	"qmq/message"
)

func TestOwedIsAllThatIsNotAcknowledgedVoidOrDropped(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(6, time.Minute)
		h.Void(4, 6)
		h.Void(30, 40) // above the fan-out position
		h.Advance(20, []message.Mark{{Seq: 12, DeliverAt: h.clock.Wall()/1e6 + 60_000}})
		e.expect("1/1 2/1 3/1 6/1 7/1 8/1")
		e.mustAnswer(Finish, 1, 0)
		e.mustAnswer(Finish, 3, 0)
		e.mustAnswer(Finish, 7, 0)
		e.mustAnswer(Requeue, 8, time.Second)
		e.mustAnswer(Requeue, 6, 0)

		want := []seqset.Range{{From: 2, To: 3}, {From: 6, To: 7}, {From: 8, To: 30}, {From: 40, To: 50}}
		if owed, next := h.Owed(nil, 0, 50, 100); !slices.Equal(owed, want) || next != 50 {
			t.Errorf("owes %v, up to %d", owed, next)
		}
		if owed, next := h.Owed(nil, 7, 12, 100); !slices.Equal(owed, []seqset.Range{{From: 8, To: 12}}) || next != 12 {
			t.Errorf("owes %v of [7, 12), up to %d", owed, next)
		}
		owed, next := h.Owed(nil, 0, 50, 2)
		if !slices.Equal(owed, want[:2]) || next < 7 || next > 8 {
			t.Errorf("the first two are %v, up to %d", owed, next)
		}
		if owed, next = h.Owed(owed, next, 50, 2); !slices.Equal(owed, want) || next != 50 {
			t.Errorf("all of them are %v, up to %d", owed, next)
		}
		h.Empty(math.MaxUint64)
		if owed, _ := h.Owed(nil, 0, 50, 100); !slices.Equal(owed, []seqset.Range{{From: 20, To: 30}, {From: 40, To: 50}}) {
			t.Errorf("owes %v after Empty", owed)
		}
	})
}

func TestEphemeralChannelDoesNotOweWhatItDropped(t *testing.T) {
	inBubbleWith(t, func(o *Options, _ *testHost) { o.EphemeralLimit = 3; o.Journal = nil }, func(h *fakeHost) {
		h.Advance(11, nil)
		if owed, _ := h.Owed(nil, 0, 11, 100); !slices.Equal(owed, []seqset.Range{{From: 1, To: 4}}) {
			t.Errorf("owes %v", owed)
		}
	})
}
