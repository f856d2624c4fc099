package dedup

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the table in a few lines.
type model struct {
	entries []Entry
	evicted uint64
}

func (m *model) seen(id ID, at int64, window time.Duration) bool {
	for i := len(m.entries) - 1; i >= 0; i-- {
		if m.entries[i].ID == id {
			return at-m.entries[i].At < int64(window)
		}
	}
	return false
}

func (m *model) add(id ID, at int64, b Bounds) {
	for len(m.entries) > 0 && at-m.entries[0].At >= int64(b.Window) {
		m.entries = m.entries[1:]
	}
	for len(m.entries) >= b.Max {
		m.entries = m.entries[1:]
		m.evicted++
	}
	m.entries = append(m.entries, Entry{id, at})
}

func idOf(n int) (id ID) {
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

func all(s Span) (list []Entry) {
	for i := range s.Len() {
		list = append(list, s.At(i))
	}
	return list
}

func TestATableIsWhatItsModelIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, m := New(), &model{}
		table.first = rapid.SampledFrom([]uint64{0, 0, places - 300, places, 5 * places}).Draw(t, "first") / chunkLen * chunkLen
		table.end = table.first
		ids := rapid.SampledFrom([]int{3, 40, 2000}).Draw(t, "ids")
		now := int64(1e18)
		bounds := Bounds{time.Duration(rapid.IntRange(1, 2000).Draw(t, "window")), rapid.IntRange(1, 1000).Draw(t, "max")}
		var before Span
		var was []Entry
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "change") == 0 {
				bounds = Bounds{time.Duration(rapid.IntRange(1, 2000).Draw(t, "window")), rapid.IntRange(1, 1000).Draw(t, "max")}
			}
			pick := rapid.IntRange(0, ids).Draw(t, "pick")
			for i := range rapid.IntRange(1, 100).Draw(t, "many") {
				now += int64(rapid.IntRange(-3, 30).Draw(t, "later"))
				id := idOf((pick + i) % ids)
				if got, want := table.Seen(id, now, bounds.Window), m.seen(id, now, bounds.Window); got != want {
					t.Fatalf("seen %v, want %v", got, want)
				} else if !got {
					table.Add(id, now, bounds)
					m.add(id, now, bounds)
				}
			}
			if got := all(table.Span(0)); !slices.Equal(got, m.entries) {
				t.Fatalf("%d entries, want %d", len(got), len(m.entries))
			}
			if table.Evicted() != m.evicted {
				t.Fatalf("%d evicted, want %d", table.Evicted(), m.evicted)
			}
			if !slices.Equal(all(before), was) {
				t.Fatal("a span has changed")
			}
			before = table.Span(0)
			was = all(before)
		}
	})
}

func TestAnIDTakesAtMostFortyBytes(t *testing.T) {
	most := 0.0
	for _, n := range []int{5000, 81_930, 655_370, 1_000_000} {
		table := New()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			table.Add(idOf(i+1), int64(i), Unbounded)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
		most = max(most, each)
		if counted := float64(table.Bytes()) / float64(n); each > BytesPerID || counted > BytesPerID {
			t.Errorf("%d ids take %.1f B each, by its own count %.1f B", n, each, counted)
		}
		runtime.KeepAlive(table)
	}
	t.Logf("at most %.1f B an id", most)
}

func TestMemoryIsGivenBack(t *testing.T) {
	table := New()
	for i := range 100_000 {
		table.Add(idOf(i+1), int64(i), Unbounded)
	}
	table.Expire(math.MaxInt64/2, time.Second)
	if table.Len() != 0 || table.Bytes() > 20_000 {
		t.Errorf("%d ids take %d B", table.Len(), table.Bytes())
	}
}

func BenchmarkSeenAndAdd(b *testing.B) {
	table := New()
	bounds := Bounds{time.Hour, 1_000_000}
	for i := range 1_000_000 {
		table.Add(idOf(i+1), int64(i), bounds)
	}
	b.ResetTimer()
	for i := range b.N {
		id := idOf(i + 2_000_000)
		if !table.Seen(id, int64(i), bounds.Window) {
			table.Add(id, int64(i), bounds)
		}
	}
}
