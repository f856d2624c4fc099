package histogram

import (
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEachDurationIsInTheBucketThatHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(0, math.MaxInt64).Draw(t, "ns") >> rapid.IntRange(0, 62).Draw(t, "shift")
		seconds := float64(ns) / 1e9
		b := int(bucketOf(ns))
		if seconds > End(b) {
			t.Errorf("%d ns are in a bucket that ends at %v s", ns, End(b))
		}
		if b > 0 && seconds <= End(b-1) {
			t.Errorf("%d ns are in a bucket that begins at %v s", ns, End(b-1))
		}
	})
}

func TestRunsCountTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var one, runs Histogram
		r := runs.Begin()
		for _, ns := range rapid.SliceOf(rapid.Int64Range(-1000, 5000)).Draw(t, "durations") {
			one.Add(ns)
			r.Add(ns)
			if rapid.IntRange(0, 5).Draw(t, "flush") == 0 {
				r.Flush()
			}
		}
		r.Flush()
		var a, b Snapshot
		one.AddTo(&a)
		runs.AddTo(&b)
		if a.Counts != b.Counts || a.Count != b.Count || math.Abs(a.Sum-b.Sum) > a.Sum/1e9 {
			t.Errorf("one by one %+v, in runs %+v", a, b)
		}
	})
}

func TestSnapshotCountsUpToBounds(t *testing.T) {
	var h Histogram
	var s Snapshot
	if h.AddTo(&s) || s.Count != 0 {
		t.Error("an empty one has something")
	}
	for _, d := range []time.Duration{0, time.Microsecond, time.Millisecond, 900 * time.Millisecond, 3 * time.Second, time.Hour} {
		h.Add(int64(d))
	}
	h.Add(math.MaxInt64)
	if !h.AddTo(&s) || s.Count != 7 {
		t.Fatalf("%d counted", s.Count)
	}
	for exponent, want := range map[int]uint64{-100: 1, -20: 1, -19: 2, -9: 3, -1: 3, 0: 4, 1: 4, 2: 5, 11: 5, 12: 6, 24: 6, 25: 7} {
		if got := s.UpTo(exponent); got != want {
			t.Errorf("%d up to 2^%d s, want %d", got, exponent, want)
		}
	}
}

func TestSumOfMuchIsNotLost(t *testing.T) {
	var h Histogram
	r := h.Begin()
	for range 10_000 {
		r.Add(math.MaxInt64) // counts as a year
	}
	r.Flush()
	var s Snapshot
	if h.AddTo(&s); s.Count != 10_000 || math.Abs(s.Sum/(10_000*365*24*3600)-1) > 1e-9 {
		t.Errorf("%d in %v s", s.Count, s.Sum)
	}
}

func TestManyMayCountAtATime(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range int64(1000) {
				h.Add(i * 1000)
			}
		})
	}
	all.Wait()
	var s Snapshot
	if h.AddTo(&s); s.Count != 4000 {
		t.Errorf("%d counted", s.Count)
	}
}

func BenchmarkRun(b *testing.B) {
	var h Histogram
	r := h.Begin()
	for i := range b.N {
		r.Add(int64(i&1023) + 1_000_000)
	}
	r.Flush()
}
