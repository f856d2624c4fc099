package channel

import (
	"testing"
	"testing/synctest"
	"time"

	"qmq/message"
)

func TestTakenMessageComesAgainAfterTheTimeoutNeverEarlier(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Minute)
		h.Advance(2, nil)
		e.expect("1/1")
		e.expect("")
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if e.woken() || h.Stats().InFlight != 1 {
			t.Error("timed out early")
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if !e.woken() {
			t.Error("not woken 50 ms after the timeout")
		}
		e.expect("1/2")
		if s := h.Stats(); s.TimeoutCount != 1 || s.RequeueCount != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTouchedMessageStaysInFlightUntilMaxMsgTimeout(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Minute)
		h.Advance(2, nil)
		e.expect("1/1")
		for range 15 * 60 / 50 {
			time.Sleep(50 * time.Second)
			if err := e.answer(Touch, 1, 0); err != nil && h.clock.Now() < 15*60e9 {
				t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Millisecond)
		if s := h.Stats(); s.TimeoutCount != 1 || s.Depth != 1 {
			t.Errorf("%+v", s)
		}
		if err := e.answer(Touch, 1, 0); err != ErrNotInFlight {
			t.Error(err)
		}
	})
}

func TestDeferredMessagesComeWhenDue(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Hour)
		start := h.clock.Wall() / 1e6 // a whole ms in fake time
		h.Advance(4, []message.Mark{{Seq: 1, DeliverAt: start + 9000}, {Seq: 2, DeliverAt: start - 5}})
		e.expect("2/1 3/1")
		e.mustAnswer(Requeue, 3, 3*time.Second)
		e.expect("")
		if s := h.Stats(); s.Deferred != 2 || s.Depth != 0 || s.InFlight != 1 || s.RequeueCount != 1 || s.MessageCount != 3 {
			t.Errorf("%+v", s)
		}
		for _, due := range []struct {
			after time.Duration
			want  string
		}{{3 * time.Second, "3/2"}, {9 * time.Second, "1/1"}} {
			time.Sleep(due.after - 1 - time.Duration(h.clock.Now()-start*1e6))
			synctest.Wait()
			if e.woken() {
				t.Fatal("woken early")
			}
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			if !e.woken() {
				t.Fatal("not woken")
			}
			e.expect(due.want)
			e.expect("")
		}
	})
}

func TestRequeueDelayIsCutToMaxReqTimeout(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Hour)
		h.Advance(2, nil)
		e.expect("1/1")
		e.mustAnswer(Requeue, 1, 1000*time.Hour)
		time.Sleep(time.Hour + 50*time.Millisecond)
		e.expect("1/2")
	})
}

// TestDroppingForASampleTakesNothingFromTheTimeout: it may have to drop very
// many before it finds one to send.
func TestDroppingForASampleTakesNothingFromTheTimeout(t *testing.T) {
	slow := func(uint64) { time.Sleep(time.Second) } // after each reservation
	inBubbleWith(t, func(_ *Options, host *testHost) { host.moved = slow }, func(h *fakeHost) {
		h.Advance(1001, nil)
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: 10 * time.Minute, SampleRate: 1})
		if err != nil {
			t.Fatal(err)
		}
		k.SetReady(1)
		if k.Take(new(mailbox), MaxTake) == 0 {
			t.Fatal("none of 1,000 messages is drawn")
		}
		_, err = h.Peek(PeekOptions{State: PeekInFlight, Limit: 1}, func(m Peeked, _ message.View) error {
			if left := time.Duration(m.Left); left != 10*time.Minute-time.Second {
				t.Errorf("times out in %v", left)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
