package channel

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

func TestTakeThatUsesUpTheCreditNeedNotBeRepeated(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
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
	inBubble(t, func(h *fakeHost) {
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

func TestTakeIsBoundedByMessagesAndItsSink(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(2500, time.Minute)
		h.Advance(10_000, nil)
		if n := len(e.take()); n != MaxTake {
			t.Errorf("%d messages", n)
		}
		if n := e.Take(new(mailbox), 7); n != 7 {
			t.Errorf("%d messages, asked for 7", n)
		}
		next := uint64(MaxTake + 7 + 1)
		h.log.size, e.room = 100, 1000
		for range 8 {
			ms := e.take()
			if len(ms) != 9 { // of 103 or 104 bytes
				t.Errorf("%d messages", len(ms))
			}
			for _, m := range ms {
				if m != (got{next, 1}) {
					t.Fatalf("took %v, want %d", m, next)
				}
				next++
			}
		}
		h.log.size = 2000
		e.expect(fmt.Sprintf("%d/1", next))
		if s := e.Stats(); s.MessageCount != next || s.InFlight != int64(next) {
			t.Errorf("%+v after %d", s, next)
		}
	})
}

// refusing is a Sink without any room.
type refusing struct{}

func (refusing) Put(*Message) bool { return false }

func TestMessagesThatASinkRefusesStay(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Minute)
		h.Advance(3, nil)
		if n := e.Take(refusing{}, MaxTake); n != 0 || e.Parked() {
			t.Errorf("took %d, parked %v", n, e.Parked())
		}
		if s := h.Stats(); s.Depth != 2 || s.InFlight != 0 || s.Delivered != 0 {
			t.Errorf("%+v", s)
		}
		e.expect("1/1 2/1")
	})
}

func TestEmptyOrFinishWhileATakeReadsDoesNoHarm(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(100, time.Minute)
		other := h.subscribe(0, time.Minute)
		h.log.onRead = func(seq uint64) {
			switch seq {
			case 3:
				e.mustAnswer(Finish, 5, 0)
			case 6:
				h.Empty(math.MaxUint64)
			case 7:
				h.log.fail(errors.New("gone from the log"))
			}
		}
		h.Advance(11, nil)
		e.expect("1/1 2/1 3/1 4/1 5/1 6/1")
		h.log.onRead = nil
		h.log.fail(nil)
		if err := e.answer(Finish, 6, 0); err != ErrNotInFlight {
			t.Error(err)
		}
		h.Advance(12, nil)
		e.expect("11/1")
		if err := other.answer(Finish, 11, 0); err != ErrNotOwner {
			t.Error(err)
		}
	})
}

func TestMovedIsCalledAfterTakeAndAnswer(t *testing.T) {
	var moves []uint64
	inBubbleWith(t, func(_ *Options, host *testHost) {
		host.moved = func(floor uint64) { moves = append(moves, floor) }
	}, func(h *fakeHost) {
		e := h.subscribe(5, time.Minute)
		h.Advance(3, nil)
		e.expect("1/1 2/1")
		e.mustAnswer(Finish, 2, 0)
		e.mustAnswer(Finish, 1, 0)
		// Also where what is finished does not move the floor.
		if fmt.Sprint(moves) != "[1 1 3]" {
			t.Errorf("%v", moves)
		}
	})
}
