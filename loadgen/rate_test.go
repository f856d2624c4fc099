package loadgen

import (
	"sync/atomic"
	"testing"
	"time"
)

func TestPublishersTakeTurnsAtTheRateOfAll(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSchedule(start, 1000, 10, []uint64{500, 800}, 0) // 100 commands a second of 2 publishers
	for _, test := range []struct {
		publisher uint32
		k         uint64
		after     time.Duration
	}{{0, 0, 0}, {1, 0, 10 * time.Millisecond}, {0, 1, 20 * time.Millisecond}, {1, 1, 30 * time.Millisecond}, {0, 360_000, 2 * time.Hour}} {
		if at := s.due(test.publisher, test.k); !at.Equal(start.Add(test.after)) {
			t.Errorf("command %d of publisher %d is due after %s, want %s", test.k, test.publisher, at.Sub(start), test.after)
		}
	}
}

func TestMessagesOfACommandAreDueTogetherAndAfterTheirDelay(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSchedule(start, 1000, 10, []uint64{500, 800}, time.Minute)
	for _, test := range []struct {
		publisher uint32
		number    uint64
		after     time.Duration
		ok        bool
	}{
		{0, 499, 0, false}, {1, 799, 0, false}, // of the warm-up
		{0, 500, time.Minute, true}, {0, 509, time.Minute, true},
		{0, 510, time.Minute + 20*time.Millisecond, true},
		{1, 810, time.Minute + 30*time.Millisecond, true},
	} {
		at, ok := s.deliverable(test.publisher, test.number)
		if ok != test.ok || ok && !at.Equal(start.Add(test.after)) {
			t.Errorf("message %d of publisher %d: %s, %v", test.number, test.publisher, at.Sub(start), ok)
		}
	}
}

// A generator that is late must not hide how long the messages waited for it:
// here it begins a second late, and every message is later than due by what is
// left of that second.
func TestLatencyCountsFromWhenAMessageWasDue(t *testing.T) {
	for name, window := range map[string]int{"waiting": 1, "ahead": 4} {
		t.Run(name, func(t *testing.T) {
			target := startFake(t, &fake{deal: func(b [][]byte) []delivery { return asSent(b...) }})
			l := Load{Window: window}.withDefaults()
			p, err := newPublisher(t.Context(), target, &l, "t", newBodies(1, l.Body), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer p.conn.Close()
			start := time.Now().Add(-time.Second)
			s := newSchedule(start, 10, 1, []uint64{0}, 0)
			if err := p.publish(10, new(atomic.Bool), s); err != nil {
				t.Fatal(err)
			}
			for _, h := range []histogram{p.published, p.late} {
				latency := latencyOf([]histogram{h})
				// The first was due a second ago, the last a tenth of one.
				if latency.Count != 10 || latency.Max < 0.99e6 || latency.P50 < 0.49e6 || h.Min() < int64(99*time.Millisecond) {
					t.Errorf("%d durations: %s", latency.Count, latency)
				}
			}
		})
	}
}

func TestNothingIsSentBeforeItIsDue(t *testing.T) {
	target := startFake(t, &fake{deal: func(b [][]byte) []delivery { return asSent(b...) }})
	for _, window := range []int{1, 100} {
		r, err := Run(t.Context(), target, Load{Window: window, Publishers: 2, Rate: 1000, Measure: Amount{Messages: 100}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Messages != 100 || r.Seconds < 0.099 || r.Late.Count != 100 {
			t.Errorf("window %d: %d messages in %.4f s, %d of them timed", window, r.Messages, r.Seconds, r.Late.Count)
		}
	}
}

func TestSleepLeavesTimeToBePunctual(t *testing.T) {
	for _, test := range []struct{ wait, nap time.Duration }{
		{20 * time.Microsecond, -10 * time.Microsecond},
		{30 * time.Microsecond, 0},
		{200 * time.Microsecond, 170 * time.Microsecond},
		{time.Millisecond, 950 * time.Microsecond},
		{10 * time.Millisecond, 9850 * time.Microsecond},
		{time.Hour, 50 * time.Millisecond},
	} {
		if nap := napFor(test.wait); nap != test.nap {
			t.Errorf("of %s: %s, want %s", test.wait, nap, test.nap)
		}
	}
}
