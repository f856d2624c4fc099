package channel

import (
	"errors"
	"testing"
	"time"

	"qmq/message"
)

func TestMessageIsCancelledUnlessAConsumerGotIt(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(4, time.Minute)
		h.Advance(9, []message.Mark{{Seq: 7, DeliverAt: h.clock.Wall()/1e6 + 60_000}})
		e.expect("1/1 2/1 3/1 4/1")
		e.SetReady(0)
		e.Answer([]Answer{{Op: Requeue, ID: h.id(2), Delay: time.Minute}, {Op: Requeue, ID: h.id(3)}, {Op: Return, ID: h.id(4)}})
		for seq, want := range map[uint64]error{
			1: ErrDelivered, 2: ErrDelivered, 3: ErrDelivered, // in flight, deferred, returned
			4: nil, 6: nil, 7: nil, // never got by its client, fresh, deferred by its publisher
			9: ErrNoMessage,
		} {
			if err := h.Cancel(h.id(seq)); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%d: %v", seq, err)
			}
			h.check()
		}
		if err := h.Cancel(h.id(6)); !errors.Is(err, ErrNoMessage) {
			t.Error("again:", err)
		}
		if h.places() != "3 1 1" { // 3, 5 and 8; 1; 2
			t.Error(h.places())
		}
	})
}
