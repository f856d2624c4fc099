package channel

import (
	"testing"
	"time"
)

func TestTakeThatUsesUpTheCreditNeedNotBeRepeated(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(2, time.Minute)
		h.Advance(4, nil)
		e.expect("1/1 2/1")
		if !e.Parked() {
			t.Error("not parked without credit")
		}
		e.mustAnswer(Finish, 1, 0)
		if !e.woken() {
			t.Error("not woken by the credit that came back")
		}
		e.mustAnswer(Finish, 2, 0)
		e.expect("3/1")
		if e.Parked() {
			t.Error("parked with credit")
		}
		e.expect("")
		if !e.Parked() {
			t.Error("not parked when there is nothing")
		}
		h.Advance(5, nil)
		if !e.woken() {
			t.Error("not woken by a message")
		}
	})
}

// takeCached is take with TakeCached.
func (e *eater) takeCached(want int) {
	e.h.t.Helper()
	if n := e.TakeCached(new(mailbox), MaxTake); n != want {
		e.h.t.Fatalf("took %d, want %d", n, want)
	}
}

func TestTakeCachedEndsBeforeWhatIsNotInMemory(t *testing.T) {
	inBubble(t, func(h *house) {
		h.log.cold = func(seq uint64) bool { return seq >= 3 }
		h.log.onRead = func(seq uint64) {
			if seq == 3 && h.log.cold != nil {
				t.Error("it reads what is not in memory")
			}
		}
		e := h.subscribe(3, time.Minute)
		h.Advance(6, nil)
		e.takeCached(2)
		if s := h.Stats(); s.Depth != 3 || s.InFlight != 2 || s.Delivered != 2 {
			t.Errorf("after two: %+v", s)
		}
		e.takeCached(0)
		if e.Parked() {
			t.Error("parked before a message that a Take would find")
		}
		h.log.cold = nil
		e.expect("3/1")
		e.mustAnswer(Finish, 1, 0)
		e.expect("4/1")
	})
}
