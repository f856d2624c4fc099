package seqtable

import (
	"maps"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// check returns whether t holds exactly what is in want, and its free indices
// are all on the list.
func check(t rapid.TB, table *Table[uint64], want map[uint64]uint64) {
	t.Helper()
	got := map[uint64]uint64{}
	table.Each(func(i uint32, seq uint64, value *uint64) {
		got[seq] = *value
		if table.Find(seq) != i || table.Seq(i) != seq || table.At(i) != value {
			t.Fatalf("%d is at %d, but found at %d", seq, i, table.Find(seq))
		}
	})
	if !maps.Equal(got, want) || table.Len() != len(want) {
		t.Fatalf("%d values, counted %d, want %d", len(got), table.Len(), len(want))
	}
	slots, free := 0, 0
	for _, i := range table.slots {
		if i != 0 {
			slots++
		}
	}
	for i := table.free; i != 0; i = uint32(table.item(i).seq) {
		free++
	}
	if slots != len(want) || table.used > 0 && free+len(want)+1 != int(table.used) {
		t.Fatalf("%d slots and %d free indices of %d for %d values", slots, free, table.used, len(want))
	}
}

// TestTableEqualsAMap drives a table and a map through the same random steps.
func TestTableEqualsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		near := 1 + r.Uint64N(1<<rapid.IntRange(1, 40).Draw(t, "bits"))
		var table Table[uint64]
		want := map[uint64]uint64{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			seq := 1<<53 + r.Uint64N(near)
			i := table.Find(seq)
			if value, ok := want[seq]; ok != (i != 0) || ok && (*table.At(i) != value || table.Seq(i) != seq) {
				t.Fatalf("%d is there: %v, found at %d", seq, ok, i)
			}
			var value *uint64
			switch r.IntN(4) {
			case 0:
				if took, ok := table.Take(seq); ok != (i != 0) || took != want[seq] {
					t.Fatalf("took %d of %d, %v", took, seq, ok)
				}
				delete(want, seq)
				continue
			case 1:
				value = table.Put(seq)
			default:
				if i != 0 {
					table.Remove(i)
					delete(want, seq)
					continue
				}
				_, value = table.Add(seq)
			}
			if *value != want[seq] {
				t.Fatalf("the value of %d is %d, want %d", seq, *value, want[seq])
			}
			*value = r.Uint64()
			want[seq] = *value
		}
		check(t, &table, want)
	})
}

func TestShrinkKeepsAllValuesAndSaysWhereTheyGo(t *testing.T) {
	const n = 100_000
	var table Table[uint64]
	where := map[uint64]uint32{}
	for seq := range uint64(n) {
		i, value := table.Add(seq)
		*value = seq * 7
		where[seq] = i
	}
	want := map[uint64]uint64{}
	for seq := range uint64(n) {
		if seq%997 == 0 {
			want[seq] = seq * 7
			continue
		}
		table.Remove(where[seq])
		delete(where, seq)
		if table.Sparse() {
			table.Shrink(func(from, to uint32) {
				if table.Seq(from) != table.Seq(to) || where[table.Seq(from)] != from {
					t.Fatalf("%d goes from %d to %d, but was at %d", table.Seq(from), from, to, where[table.Seq(from)])
				}
				where[table.Seq(to)] = to
			})
		}
	}
	if table.Pages() > 2*shrinkAbove/PageLen {
		t.Errorf("%d pages are kept for %d values", table.Pages(), table.Len())
	}
	check(t, &table, want)
	for seq, i := range where {
		if table.Find(seq) != i {
			t.Errorf("%d is at %d, not at %d", seq, table.Find(seq), i)
		}
	}
}

func TestShrinkOfASmallTableDoesNothing(t *testing.T) {
	var table Table[uint64]
	table.Shrink(func(uint32, uint32) { t.Error("moved what is not there") })
	table.Add(5)
	table.Shrink(func(uint32, uint32) { t.Error("moved") })
	check(t, &table, map[uint64]uint64{5: 0})
}

// TestProbesStayShort looks at patterns in which messages stay in flight.
func TestProbesStayShort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i uint64) uint64{
		"dense":             func(i uint64) uint64 { return i },
		"every 64th":        func(i uint64) uint64 { return i * 64 },
		"every 4096th":      func(i uint64) uint64 { return i * 4096 },
		"every 1000th":      func(i uint64) uint64 { return i * 1000 },
		"random":            func(uint64) uint64 { return r.Uint64N(1 << 40) },
		"two dense regions": func(i uint64) uint64 { return i/2 + i%2*(1<<30+31) },
		"some of most runs": func(i uint64) uint64 { return i*7 + r.Uint64N(7) },
	} {
		var table Table[struct{}]
		for n := range uint64(200_000) {
			if seq := 1<<50 + next(n); table.Find(seq) == 0 {
				table.Add(seq)
			}
		}
		sum := 0
		table.Each(func(_ uint32, seq uint64, _ *struct{}) {
			p, _ := table.slot(seq)
			sum += int((p - table.home(seq)) * probeInverse & uint32(len(table.slots)-1))
		})
		if average := float64(sum) / float64(table.Len()); average > 2 {
			t.Errorf("%s: %.1f probes", name, average)
		} else {
			t.Logf("%s: %.2f probes", name, average)
		}
	}
}

// BenchmarkWindow finds and removes a value and adds one, as each message does
// that is delivered and finished: in a Table, and in a map of Go with the
// values beside it. In order: the oldest goes; else any.
func BenchmarkWindow(b *testing.B) {
	for _, w := range []struct {
		name    string
		n       uint64
		inOrder bool
	}{{"200", 200, true}, {"2500", 2500, true}, {"40000", 40_000, true}, {"2500 any", 2500, false}, {"40000 any", 40_000, false}} {
		b.Run("Table/"+w.name, func(b *testing.B) {
			var t Table[[4]uint64]
			add := func(seq uint64) { t.Add(seq) }
			remove := func(seq uint64) { t.Remove(t.Find(seq)) }
			window(b, w.n, w.inOrder, add, remove)
		})
		b.Run("map/"+w.name, func(b *testing.B) {
			index := map[uint64]uint32{}
			values, free := make([][4]uint64, w.n), make([]uint32, 0, w.n)
			for i := range uint32(w.n) {
				free = append(free, i)
			}
			add := func(seq uint64) {
				i := free[len(free)-1]
				free = free[:len(free)-1]
				values[i] = [4]uint64{}
				index[seq] = i
			}
			remove := func(seq uint64) {
				free = append(free, index[seq])
				delete(index, seq)
			}
			window(b, w.n, w.inOrder, add, remove)
		})
	}
}

func window(b *testing.B, n uint64, inOrder bool, add, remove func(seq uint64)) {
	r := rand.New(rand.NewPCG(1, 2))
	const start = 1 << 50
	live := make([]uint64, n)
	for i := range live {
		live[i] = start + uint64(i)
		add(live[i])
	}
	next := start + n
	for i := uint64(0); b.Loop(); i++ {
		k := i % n
		if !inOrder {
			k = r.Uint64N(n)
		}
		remove(live[k])
		live[k] = next
		add(next)
		next++
	}
}

// BenchmarkRun shows what it is worth that neighbours are close together: a run
// of messages is added, found and removed 256 at a time, as by two consumers
// with 2,500 messages each, while bodies go through the cache. Without it: the
// numbers are 64 apart, so that each is in a stretch of its own.
func BenchmarkRun(b *testing.B) {
	const (
		consumers, each, batch = 2, 2500, 256
		bodies, body           = 64 << 20, 256
	)
	for _, c := range []struct {
		name string
		step uint64
	}{{"neighbours close", 1}, {"neighbours apart", 64}} {
		b.Run(c.name, func(b *testing.B) {
			var t Table[[4]uint64]
			memory := make([]byte, bodies)
			var queues [consumers][]uint64
			next, at, sum := uint64(1<<40), 0, byte(0)
			for n := 0; b.Loop(); n++ {
				if n%batch != 0 {
					continue
				}
				q := &queues[n/batch%consumers]
				for len(*q) >= each {
					for _, seq := range (*q)[:batch] {
						t.Remove(t.Find(seq * c.step))
					}
					*q = append((*q)[:0], (*q)[batch:]...)
				}
				for range batch {
					t.Add(next * c.step)
					*q = append(*q, next)
					next++
				}
				for range batch {
					for i := 0; i < body; i += 64 {
						sum += memory[at+i]
					}
					at = (at + body) % bodies
				}
			}
			read = sum
		})
	}
}

var read byte // so that the bodies are read
