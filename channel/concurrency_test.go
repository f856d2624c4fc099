package channel

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/message"
	"qmq/state"
)

// TestNoWakeIsLostAmongManyConsumers lets consumers with few credits, changing
// RDY, requeues, timeouts and disconnects run against a publisher until all is
// finished. A lost wake would leave every goroutine asleep, which fake time
// reports as a deadlock.
func TestNoWakeIsLostAmongManyConsumers(t *testing.T) {
	const messages = 20_000
	inBubble(t, func(h *fakeHost) {
		var finished atomic.Int64
		done := make(chan struct{})
		finish := func(n int64) {
			if n > 0 && finished.Add(n) == messages {
				close(done)
			}
		}
		var wg sync.WaitGroup
		for i := range uint64(20) {
			wg.Go(func() { eat(h, rand.New(rand.NewPCG(i, 1)), finish, done) })
		}
		wg.Go(func() { publish(h, messages) })
		wg.Go(func() { journalEverySecond(h, done) })
		wg.Wait()
		if s := h.Stats(); s.Depth != 0 || s.InFlight != 0 || s.Deferred != 0 || h.Floor() != messages+1 {
			t.Errorf("%+v, floor %d", s, h.Floor())
		}
	})
}

// publish advances the fan-out position by messages numbers, some delayed.
func publish(h *fakeHost, messages uint64) {
	r := rand.New(rand.NewPCG(99, 1))
	for next := uint64(1); next <= messages; {
		to := min(next+1+r.Uint64N(300), messages+1)
		var delayed []message.Mark
		if r.IntN(3) == 0 {
			delayed = append(delayed, message.Mark{Seq: next, DeliverAt: h.clock.Wall()/1e6 + r.Int64N(3000)})
		}
		h.Advance(to, delayed)
		next = to
		if r.IntN(4) == 0 {
			time.Sleep(time.Duration(r.IntN(int(10 * time.Millisecond))))
		}
	}
}

// eat consumes until done, as sessions that disconnect now and then.
func eat(h *fakeHost, r *rand.Rand, finish func(int64), done chan struct{}) {
	for {
		wakes := make(chan struct{}, 1)
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Second, Wake: func() {
			select {
			case wakes <- struct{}{}:
			default: // one from before a Take is still there
			}
		}})
		if err != nil {
			panic(err)
		}
		k.SetReady(1 + r.Int64N(20))
		for range r.IntN(200) + 50 {
			var taken mailbox
			if k.Take(&taken, MaxTake) == 0 {
				select {
				case <-wakes:
				case <-done:
					return
				}
			}
			finish(answerSome(k, r, taken.ids))
			if r.IntN(10) == 0 {
				k.SetReady(r.Int64N(20))
				k.SetReady(1 + r.Int64N(20))
			}
		}
		k.Close()
	}
}

// answerSome answers the messages, most with FIN, and returns how
// many it finished.
func answerSome(k *Consumer, r *rand.Rand, ids []message.ID) (n int64) {
	var as []Answer
	for _, id := range ids {
		a := Answer{ID: id}
		switch r.IntN(12) {
		case 0:
			a.Op = Requeue
		case 1:
			a.Op, a.Delay = Requeue, time.Duration(r.Int64N(1e9))
		case 2:
			a.Op = Touch
		}
		as = append(as, a)
	}
	if r.IntN(4) == 0 {
		time.Sleep(time.Duration(r.Int64N(1e6)))
	}
	k.Answer(as)
	for _, a := range as {
		if a.Op == Finish && a.Err == nil {
			n++
		}
	}
	return n
}

func journalEverySecond(h *fakeHost, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Second):
			h.Changes(false)
			h.Snapshot()
			h.check()
		}
	}
}

func TestJournalIsMarkedOnceUntilItAsks(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(10, time.Minute)
		h.Advance(4, nil)
		if h.journal.marks != 0 {
			t.Error("fan-out is not the channel's to journal")
		}
		e.expect("1/1 2/1 3/1")
		e.mustAnswer(Finish, 1, 0)
		if h.journal.marks != 1 {
			t.Errorf("%d marks", h.journal.marks)
		}
		if ch := h.Changes(false); ch.Version != 1 || ch.Floor != 2 || ch.Cursor != 4 || ch.Full {
			t.Errorf("%+v", ch)
		}
		if h.journal.marks != 1 {
			t.Errorf("marked without change")
		}
		e.mustAnswer(Finish, 3, 0)
		if ch := h.Snapshot(); h.journal.marks != 2 || ch.Version != 1 || !ch.Full || len(ch.Acked) != 1 {
			t.Errorf("%d marks, %+v", h.journal.marks, ch)
		}
		if ch := h.Changes(false); ch.Version != 2 || len(ch.Acked) != 1 {
			t.Errorf("%+v", ch)
		}
	})
}

func TestMoreChangesThanAreListedAreWrittenInFull(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		const n = 3 * maxPending
		e := h.subscribe(1<<40, time.Minute)
		h.Advance(n, nil)
		for seq := uint64(1); seq < n; {
			var as []Answer
			for _, m := range e.take() {
				if seq = m.seq + 1; m.seq%2 == 0 {
					as = append(as, Answer{ID: message.MakeID(5, m.seq)})
				}
			}
			e.Answer(as)
		}
		if ch := h.Changes(false); !ch.Full || len(ch.Acked) != n/2-1 {
			t.Errorf("full %v, %d runs", ch.Full, len(ch.Acked))
		}
		if ch := h.Changes(false); ch.Full || len(ch.Acked) != 0 {
			t.Errorf("full %v, %d runs", ch.Full, len(ch.Acked))
		}
	})
}

func TestRestartKeepsDepthAttemptsAndDueTimes(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		time.Sleep(1234567) // off the whole millisecond
		e := h.subscribe(6, time.Minute)
		start := h.clock.Wall() / 1e6
		delayed := []message.Mark{{Seq: 3, DeliverAt: start + 20_000}, {Seq: 8, DeliverAt: start + 500}}
		h.Advance(12, delayed)
		e.expect("1/1 2/1 4/1 5/1 6/1 7/1")
		e.mustAnswer(Finish, 4, 0)
		e.mustAnswer(Requeue, 1, 0)
		e.mustAnswer(Requeue, 2, 10*time.Second)
		e.expect("1/2 9/1 10/1")
		h.Changes(false)
		h.Close()
		before := h.Snapshot()
		st := stateOf(before)

		c := Restore(h.o, st, 12, nil, delayed)
		if s := c.Stats(); s.Depth != 7 || s.Deferred != 3 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if got := c.Changes(true); got.Version != before.Version+1 || len(got.Open) != len(before.Open) || got.Open[1] != before.Open[1] {
			t.Errorf("was %+v, is %+v", before, got)
		}
		restarted := &fakeHost{t: t, clock: h.clock, log: h.log, Channel: c}
		e = restarted.subscribe(100, time.Minute)
		e.expect("1/3 5/2 6/2 7/2 9/2 10/2 11/1")
		time.Sleep(550 * time.Millisecond)
		e.expect("8/1")
		time.Sleep(9 * time.Second)
		e.expect("")
		time.Sleep(time.Second)
		e.expect("2/2")
		e.expect("")
		time.Sleep(10 * time.Second)
		e.expect("3/1")
		restarted.check()
	})
}

func stateOf(ch state.ChannelChanges) *state.Channel {
	st := &state.Channel{Version: ch.Version}
	applyChanges(st, ch)
	return st
}

func TestTakeAndAnswerAllocateNothingPerMessage(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(1000, time.Minute)
		taken := mailbox{ids: make([]message.ID, 0, MaxTake), messages: make([]got, 0, MaxTake)}
		as := make([]Answer, 0, 256)
		next := uint64(1)
		step := func() {
			h.Advance(next+200, nil)
			taken.ids, taken.messages = taken.ids[:0], taken.messages[:0]
			as = as[:0]
			for range e.Take(&taken, MaxTake) {
				as = append(as, Answer{ID: message.MakeID(5, next)})
				next++
			}
			e.Answer(as)
		}
		step()
		if n := testing.AllocsPerRun(500, step); n > 1 {
			t.Errorf("%v allocations for 200 messages", n)
		}
		synctest.Wait()
	})
}
