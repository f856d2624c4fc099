package channel

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/message"
)

func TestHundredConsumersWithRDYOneGetOneMessageEach(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		var all []*eater
		for range 100 {
			all = append(all, h.subscribe(1, time.Minute))
		}
		h.Advance(101, nil)
		for left := 100; left > 0; left-- {
			woken := 0
			for _, e := range all {
				if e.woken() {
					woken++
					if n := len(e.takeSeqs()); n != 1 {
						t.Fatalf("took %d", n)
					}
					e.expect("")
				}
			}
			if left -= woken; woken == 0 && left > 0 {
				t.Fatalf("nobody is woken for %d messages", left)
			}
			left++
		}
		for _, k := range h.Stats().Consumers {
			if k.InFlight != 1 {
				t.Fatalf("%+v", k)
			}
		}
	})
}

func TestCreditThatComesBackWakesItsConsumer(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(1, time.Minute)
		h.Advance(5, nil)
		for seq := uint64(1); seq < 4; seq++ {
			e.expect(fmt.Sprintf("%d/1", seq))
			e.expect("")
			e.mustAnswer(AnswerOp(seq%2), seq, time.Minute/2) // FIN or REQ
			if !e.woken() {
				t.Fatal("not woken")
			}
		}
		e.SetReady(0)
		e.expect("")
		e.SetReady(1)
		if !e.woken() {
			t.Fatal("not woken")
		}
	})
}

func TestIdleConsumersAreWokenInTurn(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		a, b, c := h.subscribe(10, time.Minute), h.subscribe(10, time.Minute), h.subscribe(10, time.Minute)
		for i := range uint64(9) {
			h.Advance(i+2, nil)
			woken := []*eater{a, b, c}[i%3]
			if !woken.woken() {
				t.Fatalf("consumer %d is not woken", i%3)
			}
			woken.expect(fmt.Sprintf("%d/1", i+1))
			woken.expect("")
		}
	})
}

func TestPoisonMessageBlocksNobody(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(1, time.Minute)
		h.Advance(101, nil)
		poison := 0
		for h.Stats().InFlight+int(h.Stats().Depth) > 1 {
			for _, seq := range e.takeSeqs() {
				if seq == 1 {
					e.mustAnswer(Requeue, 1, 0)
					poison++
				} else {
					e.mustAnswer(Finish, seq, 0)
				}
			}
		}
		if poison > 101 {
			t.Errorf("the poison message was delivered %d times", poison)
		}
	})
}

func TestAbandonedChannelCloses(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(1, time.Minute)
		if h.CloseIfAbandoned() {
			t.Error("closed under a consumer")
		}
		e.Close()
		if !h.CloseIfAbandoned() || h.CloseIfAbandoned() {
			t.Error("not closed once")
		}
	})
}

func TestConsumerThatClosesGivesItsMessagesBackAtOnce(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		a, b := h.subscribe(3, time.Minute), h.subscribe(3, time.Minute)
		h.Advance(4, nil)
		a.expect("1/1 2/1")
		b.expect("3/1")
		b.expect("")
		b.woken()
		a.Close()
		if !b.woken() {
			t.Error("not woken")
		}
		b.expect("1/2 2/2")
		a.Close()
		a.expect("")
		if err := a.answer(Finish, 1, 0); err != ErrNotInFlight {
			t.Error(err)
		}
		if s := h.Stats(); s.TimeoutCount != 0 || len(s.Consumers) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestEphemeralChannelDropsNewerMessagesAndGoesOn(t *testing.T) {
	inBubbleWith(t, func(o *Options, _ *testHost) { o.EphemeralLimit = 100; o.Journal = nil }, func(h *fakeHost) {
		h.Advance(151, nil)
		if s := h.Stats(); s.Depth != 100 || s.MessageCount != 150 {
			t.Errorf("%+v", s)
		}
		e := h.subscribe(1000, time.Minute)
		if seqs := e.takeSeqs(); len(seqs) != 100 || seqs[99] != 100 {
			t.Errorf("took %v", seqs)
		}
		h.Advance(152, nil)
		e.expect("151/1")
	})
}

func TestClosedChannelTellsItsConsumersAndRefuses(t *testing.T) {
	inBubbleWith(t, func(o *Options, _ *testHost) { o.MaxConsumers = 2 }, func(h *fakeHost) {
		closed := 0
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, Closed: func() { closed++ }})
		if err != nil {
			t.Fatal(err)
		}
		e := h.subscribe(5, time.Minute)
		if _, err := h.Subscribe(ConsumerOptions{}); err != ErrTooManyConsumers {
			t.Error(err)
		}
		h.Advance(3, nil)
		e.expect("1/1 2/1")
		h.Close()
		h.Close()
		if closed != 1 {
			t.Errorf("told %d times", closed)
		}
		e.expect("")
		if err := e.answer(Finish, 1, 0); err != ErrExiting {
			t.Error(err)
		}
		if _, err := h.Subscribe(ConsumerOptions{}); err != ErrExiting {
			t.Error(err)
		}
		k.Close()
		if ch := h.Snapshot(); ch.Cursor != 3 || ch.Topic != 3 || ch.Channel != 7 {
			t.Errorf("%+v", ch)
		}
	})
}

func TestAnswerForAnIDThatCannotBeIsNotInFlight(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Minute)
		h.Advance(4, nil)
		e.expect("1/1 2/1 3/1")
		as := []Answer{
			{ID: message.MakeID(6, 1)},
			{ID: message.ID([]byte("GGGGGGGGGGGGGGGG"))},
			{ID: message.MakeID(5, 1)},
			{ID: message.MakeID(5, 1)},
			{ID: message.MakeID(5, 2), Op: Requeue},
			{ID: message.MakeID(5, 3), Op: Touch},
		}
		e.Answer(as)
		for i, want := range []error{ErrNotInFlight, ErrNotInFlight, nil, ErrNotInFlight, nil, nil} {
			if as[i].Err != want {
				t.Errorf("answer %d: %v, want %v", i, as[i].Err, want)
			}
		}
		if s := e.Stats(); s.FinishCount != 1 || s.RequeueCount != 1 || s.InFlight != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPausedChannelDeliversNothingUntilUnpaused(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(5, time.Minute)
		h.Pause()
		h.Advance(3, nil)
		e.expect("")
		if e.woken() || !h.Paused() {
			t.Error("woken while paused")
		}
		h.Unpause()
		if !e.woken() {
			t.Error("not woken")
		}
		e.expect("1/1 2/1")
	})
}

// TestNobodyIsWokenWithTheLockHeld: a consumer that is woken may look at the
// channel at once.
func TestNobodyIsWokenWithTheLockHeld(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		var wakes atomic.Int32
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {
			wakes.Add(1)
			h.Stats()
		}})
		if err != nil {
			t.Fatal(err)
		}
		other := h.subscribe(0, time.Minute)
		take := func() int { return k.Take(new(mailbox), MaxTake) }
		change := func(what string, f func()) {
			for take() > 0 { // until it parks
			}
			wakes.Store(0)
			if f(); wakes.Load() != 1 {
				t.Errorf("%s wakes %d times", what, wakes.Load())
			}
		}
		h.Advance(2, nil)
		change("RDY", func() { k.SetReady(1) })
		k.SetReady(10)
		change("fan-out", func() { h.Advance(3, nil) })
		change("a timeout", func() { time.Sleep(61 * time.Second); synctest.Wait() })
		other.SetReady(5)
		k.SetReady(0)
		k.Answer([]Answer{{Op: Requeue, ID: message.MakeID(5, 1)}, {Op: Requeue, ID: message.MakeID(5, 2)}})
		other.take()
		k.SetReady(10)
		change("another's end", other.Close)
		h.Pause()
		change("the end of a pause", h.Unpause)
		k.Close()
	})
}

// TestCloseWaitsForAWakeUnderWay: whoever has closed a consumer is not woken.
func TestCloseWaitsForAWakeUnderWay(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		woken, goOn, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {
			close(woken)
			<-goOn
		}})
		if err != nil {
			t.Fatal(err)
		}
		k.SetReady(1)
		go h.Advance(2, nil)
		<-woken
		go func() {
			k.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while it is being woken")
		default:
		}
		if s := h.Stats(); len(s.Consumers) != 0 { // all others go on
			t.Errorf("%+v", s)
		}
		close(goOn)
		<-closed
	})
}
