package channel

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
)

func TestConsumerThatIsAwayKeepsWhatItHas(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		away, other := h.subscribe(3, 10*time.Second), h.subscribe(0, time.Minute)
		h.Advance(4, nil)
		away.expect("1/1 2/1 3/1")
		away.SetAway()
		other.SetReady(10)
		away.SetReady(5)
		h.Advance(6, nil)
		away.expect("")
		other.expect("4/1 5/1")
		h.check()
		time.Sleep(5 * time.Second)
		if refused := other.Claim(&Claims{
			Done: []seqset.Range{{From: 1, To: 2}}, Held: []Claim{{Seq: 2, Attempts: 1}, {Seq: 3, Attempts: 1}, {Seq: 4, Attempts: 1}},
		}); len(refused) > 0 {
			t.Fatalf("refused: %v", refused)
		}
		h.check()
		if err := away.answer(Finish, 2, 0); !errors.Is(err, ErrNotOwner) {
			t.Fatal(err)
		}
		other.mustAnswer(Finish, 2, 0)
		away.Close()
		time.Sleep(50 * time.Second) // since the claim
		other.expect("")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		other.expect("3/2 4/2 5/2")
	})
}

func TestWhatAConsumerHasThatIsAwayTimesOut(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		away, other := h.subscribe(3, 10*time.Second), h.subscribe(0, time.Minute)
		h.Advance(4, nil)
		away.expect("1/1 2/1 3/1")
		away.SetAway()
		other.SetReady(10)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		other.expect("1/2 2/2 3/2")
		claims := &Claims{Requeued: []Claim{{Seq: 1, Attempts: 1}}, Held: []Claim{{Seq: 2, Attempts: 1}}}
		if refused := away.Claim(claims); len(refused) != 1 {
			t.Fatalf("refused: %v, want what others have", refused)
		}
		h.check()
		if st := h.Stats(); st.InFlight != 3 || st.Depth != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

func TestWhatWasRequeuedOfOneThatIsAwayIsDueWhenItWas(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		away, other := h.subscribe(3, time.Minute), h.subscribe(0, time.Minute)
		h.Advance(4, nil)
		away.expect("1/1 2/1 3/1")
		away.SetAway()
		due := h.clock.Wall()/1e6 + 5000
		other.Claim(&Claims{Requeued: []Claim{{Seq: 1, Attempts: 1}, {Seq: 2, Attempts: 1, Due: due}, {Seq: 3, Attempts: 2}}})
		if st := h.Stats(); st.InFlight != 1 || st.Deferred != 1 || st.Depth != 1 || st.RequeueCount != 2 {
			t.Fatalf("%+v", st)
		}
		other.SetReady(5)
		other.expect("1/2")
		time.Sleep(5 * time.Second)
		other.expect("2/2")
		away.Close()
		other.expect("3/2")
	})
}

// What was requeued twice, or was given out since, is not due as an older claim has it.
func TestOlderClaimsDoNotHastenWhatWasRequeued(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		k := h.subscribe(5, time.Minute)
		h.Advance(3, nil)
		k.expect("1/1 2/1")
		k.mustAnswer(Requeue, 1, time.Second)
		k.mustAnswer(Requeue, 2, time.Second)
		time.Sleep(time.Second)
		k.expect("1/2 2/2")
		k.mustAnswer(Requeue, 1, time.Minute)
		k.mustAnswer(Requeue, 2, time.Minute)
		now := h.clock.Wall() / 1e6
		k.Claim(&Claims{Requeued: []Claim{
			{Seq: 1, Attempts: 1, Due: now}, {Seq: 1, Attempts: 2, Due: now + 60_000}, {Seq: 2, Attempts: 1, Due: now},
		}})
		time.Sleep(time.Second)
		k.expect("")
		if st := h.Stats(); st.Deferred != 2 {
			t.Fatalf("%+v", st)
		}
	})
}

func TestConsumersThatAreAwayLeaveRoomForOthers(t *testing.T) {
	inBubbleWith(t, func(o *Options, _ *testHost) { o.MaxConsumers = 1 }, func(h *fakeHost) {
		away := h.subscribe(1, time.Minute)
		if _, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute}); !errors.Is(err, ErrTooManyConsumers) {
			t.Fatal(err)
		}
		away.SetAway()
		away.SetAway()
		back := h.subscribe(1, time.Minute)
		away.Close()
		away.Close()
		if _, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute}); !errors.Is(err, ErrTooManyConsumers) {
			t.Fatal(err)
		}
		away = back
		away.SetAway()
		if h.CloseIfAbandoned() {
			t.Fatal("it counts as abandoned while somebody is away")
		}
		away.Close()
		if !h.CloseIfAbandoned() {
			t.Fatal("it does not count as abandoned")
		}
	})
}

// Whatever is done to a channel meanwhile, what is claimed then is refused if it is done.
func TestChannelIsEmptiedWhileAConsumerIsAway(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		away, back := h.subscribe(3, time.Minute), h.subscribe(0, time.Minute)
		h.Advance(3, nil)
		away.expect("1/1 2/1")
		away.SetAway()
		h.Pause()
		h.Empty(2)
		refused := back.Claim(&Claims{Held: []Claim{{Seq: 1, Attempts: 1}, {Seq: 2, Attempts: 1}}})
		if len(refused) != 1 || refused[0] != 1 {
			t.Fatalf("refused: %v", refused)
		}
		back.mustAnswer(Finish, 2, 0)
		away.Close()
		h.check()
		if st := h.Stats(); st.InFlight != 0 || st.Depth != 0 {
			t.Fatalf("%+v", st)
		}
	})
}
