package channel

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnreadableMessagesWaitInOrderWithAttemptsUnchanged(t *testing.T) {
	var reports []error
	inBubbleWith(t, func(_ *Options, host *testHost) {
		host.readFailed = func(err error) { reports = append(reports, err) }
	}, func(h *fakeHost) {
		e := h.subscribe(10, time.Minute)
		broken := errors.New("EIO")
		h.log.fail(broken)
		h.Advance(4, nil)
		e.expect("")
		if s := h.Stats(); s.Depth != 3 || s.InFlight != 0 || s.Consumers[0].MessageCount != 0 {
			t.Errorf("%+v", s)
		}
		for pause := 100 * time.Millisecond; pause < 10*time.Second; pause *= 2 {
			time.Sleep(min(pause, 5*time.Second) - time.Millisecond)
			synctest.Wait()
			if e.woken() {
				t.Fatalf("woken before %v", pause)
			}
			time.Sleep(11 * time.Millisecond)
			synctest.Wait()
			if !e.woken() {
				t.Fatalf("not woken after %v", pause)
			}
			e.expect("")
		}
		if len(reports) != 8 || reports[7] != broken {
			t.Errorf("reports %v", reports)
		}
		h.log.fail(nil)
		time.Sleep(6 * time.Second)
		e.expect("1/1 2/1 3/1")
		if len(reports) != 9 || reports[8] != nil {
			t.Errorf("reports %v", reports)
		}
		h.Advance(5, nil)
		e.expect("4/1")
	})
}

func TestLostMessagesAreVoidAndTheOthersGoOn(t *testing.T) {
	var lost []uint64
	inBubbleWith(t, func(_ *Options, host *testHost) {
		void := host.lost
		host.lost = func(from, to uint64) {
			lost = append(lost, from, to)
			void(from, to)
		}
	}, func(h *fakeHost) {
		h.log.lost = func(seq uint64) *LostError {
			if seq >= 3 && seq < 6 || seq == 8 {
				return &LostError{From: max(seq/8*8, 3), To: seq/8*3 + 6}
			}
			return nil
		}
		e := h.subscribe(100, time.Minute)
		h.Advance(10, nil)
		e.expect("1/1 2/1 6/1 7/1 9/1")
		for _, seq := range []uint64{1, 2, 6, 7, 9} {
			e.mustAnswer(Finish, seq, 0)
		}
		if fmt.Sprint(lost) != "[3 6 8 9]" || h.Floor() != 10 {
			t.Errorf("lost %v, floor %d", lost, h.Floor())
		}
		if s := e.Stats(); s.MessageCount != 5 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLostMessagesAreVoidWithoutTheTopic(t *testing.T) {
	inBubbleWith(t, func(_ *Options, host *testHost) { host.lost = func(uint64, uint64) {} }, func(h *fakeHost) {
		h.log.lost = func(seq uint64) *LostError {
			if seq < 4 {
				return &LostError{From: 1, To: 4}
			}
			return nil
		}
		h.Advance(4, nil)
		e := h.subscribe(100, time.Minute)
		e.expect("")
		h.Advance(5, nil)
		e.expect("4/1")
		if h.Floor() != 4 {
			t.Errorf("floor %d", h.Floor())
		}
	})
}
