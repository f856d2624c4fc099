package channel

import (
	"errors"
	"math"
	"testing"
	"time"

	"qmq/internal/histogram"
	"qmq/internal/quantile"
	"qmq/internal/seqtable"
	"qmq/message"
)

// datedReader reads messages that were published at a given time.
type datedReader struct {
	testReader
	at *int64 // wall clock, ns
}

func (r *datedReader) Read(seq uint64, m *message.View) error {
	err := r.testReader.Read(seq, m)
	m.Timestamp = *r.at
	return err
}

func (r *datedReader) ReadCached(seq uint64, m *message.View) bool { return r.Read(seq, m) == nil }

// timed is a channel that keeps latencies, of messages published at *at.
func timed(t *testing.T, f func(h *fakeHost, at *int64)) {
	at := new(int64)
	inBubbleWith(t, func(o *Options, host *testHost) {
		o.LatencyWindow = 10 * time.Minute
		host.newReader = func() Reader { return &datedReader{testReader: testReader{log: host.log}, at: at} }
	}, func(h *fakeHost) { f(h, at) })
}

// latency wants n messages to have been counted, and the slowest to have taken
// as long.
func (h *fakeHost) latency(n int64, slowest time.Duration) {
	h.t.Helper()
	var s quantile.Sketch
	h.AddLatencies(&s)
	got := time.Duration(s.Quantile(1))
	if off := (got - slowest).Abs(); s.Count() != n || off > slowest/100+time.Microsecond {
		h.t.Errorf("%d messages, the slowest took %v; want %d and %v", s.Count(), got, n, slowest)
	}
}

func TestLatencyIsFromPublishToFin(t *testing.T) {
	timed(t, func(h *fakeHost, at *int64) {
		*at = h.clock.Wall()
		h.Advance(10, nil)
		e := h.subscribe(4, time.Minute)
		time.Sleep(3 * time.Second)
		e.take()
		h.latency(0, 0)
		time.Sleep(2 * time.Second)
		e.mustAnswer(Finish, 1, 0)
		h.latency(1, 5*time.Second)
		// A later attempt does not make it younger.
		e.mustAnswer(Requeue, 2, 0)
		time.Sleep(time.Second)
		e.take()
		e.mustAnswer(Finish, 2, 0)
		h.latency(2, 6*time.Second)
		time.Sleep(10 * time.Minute)
		h.latency(0, 0)
	})
}

func TestLatencyIsNeverNegativeWhenTheWallClockGoesBack(t *testing.T) {
	timed(t, func(h *fakeHost, at *int64) {
		*at = h.clock.Wall() + int64(time.Hour)
		h.Advance(2, nil)
		e := h.subscribe(1, time.Minute)
		e.take()
		time.Sleep(2 * time.Second)
		e.mustAnswer(Finish, 1, 0)
		h.latency(1, 2*time.Second)
	})
}

func TestLatencyOfAnotherConsumersMessageIsNotCounted(t *testing.T) {
	timed(t, func(h *fakeHost, at *int64) {
		*at = h.clock.Wall()
		h.Advance(2, nil)
		e, other := h.subscribe(1, time.Minute), h.subscribe(1, time.Minute)
		e.take()
		if err := other.answer(Finish, 1, 0); err != ErrNotOwner {
			t.Errorf("got %v", err)
		}
		h.latency(0, 0)
	})
}

// TestPublishTimesMoveWithTheirMessages: entries are moved when a burst is over.
func TestPublishTimesMoveWithTheirMessages(t *testing.T) {
	const n = 4000
	c := newCore(limits{maxTimeout: 1e15}, 1)
	h := c.testHolder(n)
	c.fill(t, h, n)
	c.flight.each(func(i uint32, seq uint64, _ *entry) { c.flight.publishedAt(i).note(seq, int64(seq)<<unitNs) })
	for seq := uint64(1); seq <= n-200; seq++ {
		if err := c.finish(h, seq); err != nil {
			t.Fatal(err)
		}
	}
	if c.flight.entries.Pages()*seqtable.PageLen > n/2 {
		t.Fatal("nothing was moved")
	}
	c.fill(t, h, 1000)
	c.flight.each(func(i uint32, seq uint64, _ *entry) {
		if at, known := c.flight.publishedAt(i).of(seq); seq <= n && (!known || at != int64(seq)<<unitNs) {
			t.Errorf("%d was published at %d", seq, at)
		}
	})
	if err := c.check(); err != nil {
		t.Error(err)
	}
}

func TestDeliveredCountsEachDelivery(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Advance(4, nil)
		e := h.subscribe(3, time.Minute)
		e.expect("1/1 2/1 3/1")
		e.mustAnswer(Requeue, 2, 0)
		e.expect("2/2")
		if n := h.Stats().Delivered; n != 4 {
			t.Errorf("%d deliveries", n)
		}
		h.Advance(5, nil)
		h.log.fail(errors.New("broken"))
		e.mustAnswer(Finish, 1, 0)
		e.expect("")
		if n := h.Stats().Delivered; n != 4 {
			t.Errorf("%d deliveries with one that failed", n)
		}
	})
}

// TestWhatGoesAwayBeforeItIsSentIsNotDelivered: a channel may be emptied
// between a Take's reservation and its reading.
func TestWhatGoesAwayBeforeItIsSentIsNotDelivered(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Advance(4, nil)
		e := h.subscribe(3, time.Minute)
		h.log.onRead = func(uint64) { h.Empty(math.MaxUint64) }
		h.log.fail(errors.New("broken"))
		e.expect("")
		if s := h.Stats(); s.Delivered != 0 || s.Consumers[0].MessageCount != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestAnotherMessagesTimeIsNotTaken: who hands a message out may be late, when its place
// is another message's.
func TestAnotherMessagesTimeIsNotTaken(t *testing.T) {
	var p published
	if _, known := p.of(0); known {
		t.Error("a time is known that nobody noted")
	}
	now := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	p.note(7, now)
	if at, known := p.of(7); !known || now-at < 0 || now-at > 1<<unitNs {
		t.Errorf("noted %d, known %v as %d", now, known, at)
	}
	if _, known := p.of(8); known {
		t.Error("it is taken for the next one's")
	}
}

func TestLatenciesAreCountedWhereNobodyWantsPercentiles(t *testing.T) {
	at := new(int64)
	inBubbleWith(t, func(_ *Options, host *testHost) {
		host.newReader = func() Reader { return &datedReader{testReader: testReader{log: host.log}, at: at} }
	}, func(h *fakeHost) {
		*at = h.clock.Wall()
		h.Advance(10, nil)
		e := h.subscribe(4, time.Minute)
		time.Sleep(3 * time.Second)
		e.take()
		e.mustAnswer(Requeue, 1, 0)
		time.Sleep(6 * time.Second)
		e.take()
		e.mustAnswer(Finish, 1, 0)
		check := func(what string, h *histogram.Histogram, count uint64, sum time.Duration) {
			t.Helper()
			var s histogram.Snapshot
			h.AddTo(&s)
			if s.Count != count || math.Abs(s.Sum-sum.Seconds()) > 0.001 {
				t.Errorf("%s: %d in %v s, want %d in %v", what, s.Count, s.Sum, count, sum)
			}
		}
		handedOut, done := h.Latencies()
		check("handed out", handedOut, 5, 4*3*time.Second+9*time.Second)
		check("done", done, 1, 9*time.Second)
	})
}
