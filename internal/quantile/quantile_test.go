package quantile

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// spread draws durations of which the middle one is 1 ms and one in a thousand
// is more than a hundred times as long.
func spread(n int) []int64 {
	r := rand.New(rand.NewPCG(1, 2))
	ns := make([]int64, n)
	for i := range ns {
		ns[i] = int64(math.Exp(r.NormFloat64()*1.5) * 1e6)
	}
	return ns
}

func approximately(got, want int64) bool {
	return math.Abs(float64(got-want)) <= max(shortest, 0.01*float64(want))
}

func TestQuantilesAreRightToOnePerCent(t *testing.T) {
	ns := spread(100_000)
	var s Sketch
	for _, v := range ns {
		s.Add(v)
	}
	slices.Sort(ns)
	for _, q := range []float64{0.001, 0.07, 0.5, 0.9, 0.95, 0.99, 0.999, 0.99999, 1} {
		want := ns[int(math.Ceil(q*float64(len(ns))-1e-6))-1]
		if got := s.Quantile(q); !approximately(got, want) {
			t.Errorf("quantile %v is %d, want about %d", q, got, want)
		}
	}
	if s.Count() != int64(len(ns)) {
		t.Errorf("count is %d", s.Count())
	}
}

func TestMergedSketchesAreAsOne(t *testing.T) {
	ns := spread(10_000)
	var all, odd, even, merged Sketch
	for i, v := range ns {
		all.Add(v)
		if i%2 == 0 {
			even.Add(v)
		} else {
			odd.Add(v)
		}
	}
	merged.Merge(&odd)
	merged.Merge(&Sketch{})
	merged.Merge(&even)
	for _, q := range []float64{0.1, 0.5, 0.99, 1} {
		if got, want := merged.Quantile(q), all.Quantile(q); got != want {
			t.Errorf("quantile %v is %d, of all at once %d", q, got, want)
		}
	}
	if merged.Count() != 10_000 || odd.Count() != 5_000 {
		t.Errorf("%d merged, %d left in a part", merged.Count(), odd.Count())
	}
}

func TestExtremesCountAsTheNearestThatFits(t *testing.T) {
	var s Sketch
	if s.Quantile(0.5) != 0 || s.Count() != 0 {
		t.Error("an empty sketch has a quantile")
	}
	s.Add(math.MinInt64)
	if got := s.Quantile(1); got > shortest {
		t.Errorf("a negative duration counts as %d", got)
	}
	s.Add(math.MaxInt64)
	if got := s.Quantile(1); !approximately(got, longest) {
		t.Errorf("an endless duration counts as %d", got)
	}
	if s.Count() != 2 {
		t.Errorf("count is %d", s.Count())
	}
}

func TestSketchTakesLittleMemory(t *testing.T) {
	memory := func(build func() *Sketch) int64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := build()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
		return int64(after.HeapAlloc) - int64(before.HeapAlloc)
	}
	ns := spread(1_000_000)
	usual := memory(func() *Sketch {
		s := new(Sketch)
		for _, v := range ns {
			s.Add(v)
		}
		return s
	})
	if usual > 16<<10 {
		t.Errorf("%d bytes for durations of 1 µs to 1 s", usual)
	}
	worst := memory(func() *Sketch {
		s := new(Sketch)
		for v := int64(1); v < longest; v += 1 + v/300 {
			for range 300 {
				s.Add(v)
			}
		}
		return s
	})
	if worst > 64<<10 {
		t.Errorf("%d bytes at worst", worst)
	}
}

func TestWindowForgetsWhatIsOlderThanItsLength(t *testing.T) {
	const minute = int64(time.Minute)
	count := func(w *Window, now int64) int64 {
		var s Sketch
		w.MergeInto(&s, now)
		return s.Count()
	}
	w := NewWindow(10 * time.Minute)
	w.Add(61*minute, 1)
	w.Add(64*minute, 1)
	w.Add(66*minute, 1)
	for _, step := range []struct{ at, count int64 }{{66, 3}, {69, 3}, {70, 1}, {74, 1}, {75, 0}, {76, 0}} {
		if got := count(w, step.at*minute); got != step.count {
			t.Errorf("after %d minutes there are %d, want %d", step.at, got, step.count)
		}
	}
	w.Add(80*minute, 1)
	if got := count(w, 200*minute); got != 0 {
		t.Errorf("after two idle hours there are %d", got)
	}
	if w.recent.buckets != nil || w.before.buckets != nil {
		t.Error("an idle window keeps memory")
	}
}

func TestBusyWindowAllocatesNothing(t *testing.T) {
	w := NewWindow(10 * time.Second)
	ns := spread(1000)
	now := int64(0)
	step := func() {
		for _, v := range ns {
			now += 5e6
			w.Add(now, v)
		}
	}
	for range 10 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("%v allocations per 1000 durations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	w := NewWindow(10 * time.Minute)
	ns := spread(1 << 16)
	for i := 0; b.Loop(); i++ {
		w.Add(int64(i)*1000, ns[i&(1<<16-1)])
	}
}
