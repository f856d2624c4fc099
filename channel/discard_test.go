package channel

import (
	"testing"
	"time"

	"qmq/internal/seqset"
)

func TestWhatIsDiscardedInFlightGoesWhenItsDeliveryEndsOtherwiseThanByFin(t *testing.T) {
	for name, end := range map[string]func(h *house, k *eater){
		"requeue":  func(_ *house, k *eater) { k.mustAnswer(Requeue, 2, 0) },
		"deferral": func(_ *house, k *eater) { k.mustAnswer(Requeue, 2, time.Hour) },
		"timeout":  func(*house, *eater) { time.Sleep(2 * time.Minute) },
		"leaving":  func(_ *house, k *eater) { k.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.Advance(5, nil)
				k := h.subscribe(3, time.Minute)
				k.expect("1/1 2/1 3/1")
				h.Discard([]seqset.Range{{From: 1, To: 7}}, Dropped)
				k.mustAnswer(Finish, 1, 0)
				k.mustAnswer(Finish, 3, 0)
				if s := h.Stats(); s.Dropped != 1 || s.InFlight != 1 || s.Depth != 0 || h.Floor() != 2 {
					t.Errorf("floor %d, %+v", h.Floor(), s)
				}
				end(h, k)
				if s := h.Stats(); s.Dropped != 2 || s.InFlight != 0 || s.Depth != 0 || s.Deferred != 0 || h.Floor() != 5 {
					t.Errorf("floor %d, %+v", h.Floor(), s)
				}
				h.Advance(9, nil)
				if s := h.Stats(); s.Depth != 2 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
