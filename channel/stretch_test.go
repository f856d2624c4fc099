package channel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
	"qmq/message"
)

// barring is a channel of a log with a bad sector, and whether it says that
// messages cannot be read.
func barring(t *testing.T, bad []seqset.Range, f func(h *fakeHost, failing func() bool)) {
	var last error
	inBubbleWith(t, func(_ *Options, host *testHost) { host.readFailed = func(err error) { last = err } }, func(h *fakeHost) {
		h.log.bad = bad
		f(h, func() bool { return last != nil })
	})
}

// setBad changes what cannot be read.
func (l *testLog) setBad(bad ...seqset.Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = bad
}

func TestStretchThatCannotBeReadIsSetAsideAndAllElseGoesOn(t *testing.T) {
	barring(t, []seqset.Range{{From: 5, To: 9}}, func(h *fakeHost, failing func() bool) {
		reads := map[uint64]int{}
		h.log.onRead = func(seq uint64) { reads[seq]++ }
		e := h.subscribe(100, time.Minute)
		h.Advance(13, []message.Mark{{Seq: 8, DeliverAt: h.clock.Wall() / 1e6}})
		e.expect("1/1 2/1 3/1 4/1 9/1 10/1 11/1 12/1")
		e.expect("")
		if s := h.Stats(); s.Depth != 4 || s.InFlight != 8 || s.Delivered != 8 || !failing() {
			t.Errorf("%+v, failing %v", s, failing())
		}
		h.check()
		h.Advance(15, nil)
		e.expect("13/1 14/1")
		for range 10 {
			time.Sleep(time.Second)
			synctest.Wait()
			e.expect("")
		}
		if n := reads[5] + reads[6] + reads[7] + reads[8]; n < 3 || n > 10 {
			t.Errorf("read %d times in 10 s", n)
		}
		h.check()
		h.log.setBad()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !e.woken() {
			t.Error("not woken to try again")
		}
		var seqs []uint64
		for range 3 {
			for _, m := range e.take() {
				if m.attempts != 1 {
					t.Errorf("message %d comes as attempt %d", m.seq, m.attempts)
				}
				seqs = append(seqs, m.seq)
			}
		}
		slices.Sort(seqs)
		if !slices.Equal(seqs, []uint64{5, 6, 7, 8}) || failing() {
			t.Errorf("then came %v, failing %v", seqs, failing())
		}
	})
}

func TestStretchThatIsLostInTheEndIsVoid(t *testing.T) {
	barring(t, []seqset.Range{{From: 3, To: 6}}, func(h *fakeHost, failing func() bool) {
		e := h.subscribe(100, time.Minute)
		h.Advance(6, nil)
		e.expect("1/1 2/1")
		e.mustAnswer(Finish, 1, 0)
		e.mustAnswer(Finish, 2, 0)
		e.expect("")
		h.log.setBad()
		h.log.lost = func(seq uint64) *LostError {
			if seq >= 3 {
				return &LostError{From: 3, To: 6}
			}
			return nil
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		e.expect("")
		synctest.Wait()
		if s := h.Stats(); h.Floor() != 6 || s.Depth != 0 || failing() {
			t.Errorf("floor %d, %+v, failing %v", h.Floor(), s, failing())
		}
	})
}

// TestAnotherChannelMayFindThatAStretchIsLost: with nothing left to read, the
// channel says that all is well.
func TestAnotherChannelMayFindThatAStretchIsLost(t *testing.T) {
	barring(t, []seqset.Range{{From: 1, To: 6}}, func(h *fakeHost, failing func() bool) {
		e := h.subscribe(100, time.Minute)
		h.Advance(6, nil)
		e.expect("")
		if !failing() {
			t.Error("it does not say that messages cannot be read")
		}
		h.Void(1, 6)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if failing() || h.Floor() != 6 || h.Stats().Depth != 0 {
			t.Errorf("failing %v, floor %d", failing(), h.Floor())
		}
	})
}

// TestStretchesThatComeAndGoLoseNothing: every message is finished in the end,
// whatever could not be read for a while, and is in one place all the time.
func TestStretchesThatComeAndGoLoseNothing(t *testing.T) {
	const messages = 3000
	barring(t, nil, func(h *fakeHost, failing func() bool) {
		r := rand.New(rand.NewPCG(1, 2))
		a, b := h.subscribe(40, 5*time.Second), h.subscribe(7, 5*time.Second)
		finished := 0
		for next := uint64(1); finished < messages; {
			if next <= messages {
				to := min(next+1+r.Uint64N(80), messages+1)
				h.Advance(to, []message.Mark{{Seq: next, DeliverAt: h.clock.Wall()/1e6 + r.Int64N(2000)}})
				next = to
			}
			switch r.IntN(10) {
			case 0:
				var bad []seqset.Range
				for range 1 + r.IntN(3) {
					from := 1 + r.Uint64N(messages)
					bad = append(bad, seqset.Range{From: from, To: from + 1 + r.Uint64N(60)})
				}
				h.log.setBad(bad...)
			case 1, 2:
				h.log.setBad()
			}
			for _, e := range []*eater{a, b} {
				for _, m := range e.take() {
					switch r.IntN(12) {
					case 0: // times out
					case 1:
						e.mustAnswer(Requeue, m.seq, time.Duration(r.Int64N(1e9)))
					default:
						e.mustAnswer(Finish, m.seq, 0)
						finished++
					}
				}
			}
			time.Sleep(time.Duration(r.Int64N(3e8)))
			synctest.Wait()
			h.check()
		}
		if s := h.Stats(); h.Floor() != messages+1 || s.Depth+int64(s.InFlight+s.Deferred) != 0 {
			t.Errorf("floor %d, %+v", h.Floor(), s)
		}
	})
}
