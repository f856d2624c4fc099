package seqset

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// model is the set as a plain map; numbers below from are members.
type model struct {
	from uint64
	in   map[uint64]bool
}

func (m *model) has(n uint64) bool { return n < m.from || m.in[n] }

func (m *model) ranges(floor, end uint64) (rs []Range) {
	for n := floor; n < end; n++ {
		if !m.has(n) {
			continue
		}
		if k := len(rs); k > 0 && rs[k-1].To == n {
			rs[k-1].To++
		} else {
			rs = append(rs, Range{n, n + 1})
		}
	}
	return rs
}

func (m *model) open(from, to uint64) (ns []uint64) {
	for n := from; n < to; n++ {
		if !m.has(n) {
			ns = append(ns, n)
		}
	}
	return ns
}

func checkAgainst(t *testing.T, s *Set, m *model, end uint64) {
	t.Helper()
	floor, top := m.from, m.from
	for m.has(floor) {
		floor++
	}
	for n := range m.in {
		top = max(top, n+1)
	}
	if s.Floor() != floor || s.Max() != max(top, floor) {
		t.Fatalf("floor %d max %d, want %d and %d", s.Floor(), s.Max(), floor, max(top, floor))
	}
	if got, want := slices.Collect(s.Ranges()), m.ranges(floor, end); !slices.Equal(got, want) {
		t.Fatalf("ranges %v, want %v", got, want)
	}
	if got, want := slices.Collect(s.Open(m.from, end)), m.open(m.from, end); !slices.Equal(got, want) {
		t.Fatalf("%d open numbers, want %d", len(got), len(want))
	}
	for _, most := range []int{1, 7, 1 << 20} {
		if got, want := allGaps(t, s, m.from, end, most), gapsOf(m, m.from, end); !slices.Equal(got, want) {
			t.Fatalf("gaps %v, want %v, %d at a time", got, want, most)
		}
	}
	for i, r := range s.full {
		if r.From%blockSize != 0 || r.To%blockSize != 0 || r.From >= r.To || r.From < s.floor || i > 0 && s.full[i-1].To >= r.From {
			t.Fatalf("full range %v is out of place", r)
		}
	}
	for key, b := range s.blocks {
		n := 0
		for i := range uint32(blockSize) {
			if !b.has(i) {
				n++
			}
		}
		if n != b.open || n == 0 || s.inFull(key<<blockShift) || (key+1)<<blockShift <= s.floor {
			t.Fatalf("block %d: counts %d open, has %d, floor %d", key, b.open, n, s.floor)
		}
	}
}

// gapsOf lists what m has not as ranges.
func gapsOf(m *model, from, to uint64) (gaps []Range) {
	for _, n := range m.open(from, to) {
		gaps = joinGap(gaps, 0, Range{n, n + 1})
	}
	return gaps
}

// allGaps asks for the gaps most at a time, and joins them.
func allGaps(t *testing.T, s *Set, from, to uint64, most int) (all []Range) {
	t.Helper()
	for from < to {
		gaps, next := s.Gaps(nil, from, to, most)
		if next <= from || len(gaps) > most {
			t.Fatalf("%d gaps in [%d,%d) of %d, next %d", len(gaps), from, to, most, next)
		}
		for _, g := range gaps {
			if g.From < from || g.To > next || g.From >= g.To {
				t.Fatalf("gap %v in [%d,%d)", g, from, next)
			}
			all = joinGap(all, 0, g)
		}
		from = next
	}
	return all
}

func TestSetEqualsAMapUnderRandomAddsAndRanges(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		start := r.Uint64N(3 * blockSize)
		const span = 6 * blockSize
		end := start + span + blockSize
		s, m := New(start), &model{start, map[uint64]bool{}}
		for step := range 40 {
			at := start + r.Uint64N(span)
			switch r.IntN(4) {
			case 0:
				to := at + r.Uint64N(2*blockSize)
				to = min(to, end)
				s.AddRange(at, to)
				for n := at; n < to; n++ {
					m.in[n] = true
				}
			case 1: // shuffled neighbours
				for _, d := range r.Perm(500) {
					n := min(at+uint64(d), end-1)
					if s.Add(n) == m.has(n) {
						t.Fatalf("seed %d: Add(%d) disagrees", seed, n)
					}
					m.in[n] = true
				}
			case 2: // in order at the floor
				for range 300 {
					n := s.Floor()
					if n >= end {
						break
					}
					if !s.Add(n) {
						t.Fatalf("floor %d is in the set", n)
					}
					m.in[n] = true
				}
			case 3:
				for _, n := range m.open(start, at) { // all but every 200th
					if n%200 != 0 {
						s.Add(n)
						m.in[n] = true
					}
				}
			}
			if step%8 == 0 || step > 35 {
				checkAgainst(t, s, m, end)
				from := start + r.Uint64N(span)
				to := from + r.Uint64N(span)
				if !slices.Equal(allGaps(t, s, from, to, 50), gapsOf(m, from, to)) {
					t.Fatalf("gaps in [%d,%d) disagree", from, to)
				}
				if !slices.Equal(slices.Collect(s.Open(from, to)), m.open(from, to)) {
					t.Fatalf("open in [%d,%d) disagrees", from, to)
				}
			}
			for range 50 {
				if n := r.Uint64N(end + blockSize); s.Contains(n) != m.has(n) {
					t.Fatalf("Contains(%d) disagrees", n)
				}
			}
		}
		c := s.Clone()
		s.AddRange(0, end)
		checkAgainst(t, c, m, end)
		if s.Floor() != end || len(s.blocks) > 1 || len(s.full) != 0 {
			t.Fatalf("after all: floor %d, %d blocks, %d ranges", s.Floor(), len(s.blocks), len(s.full))
		}
	}
}

func TestRangeOfHugeLengthCostsNothing(t *testing.T) {
	s := New(10)
	s.Add(5000)
	s.AddRange(100, 100+1<<50)
	s.Add(1<<50 + 1000)
	want := []Range{{100, 100 + 1<<50}, {1<<50 + 1000, 1<<50 + 1001}}
	if got := slices.Collect(s.Ranges()); !slices.Equal(got, want) {
		t.Fatalf("ranges %v", got)
	}
	if got := slices.Collect(s.Open(90, 100+1<<50)); len(got) != 10 || got[0] != 90 {
		t.Fatalf("open %v", got)
	}
	s.AddRange(0, 100)
	if s.Floor() != 100+1<<50 {
		t.Fatalf("floor %d", s.Floor())
	}
}

func TestGapsLookAtABoundedPartOfTheSet(t *testing.T) {
	s := New(1)
	const end = 3 * gapBlocks * blockSize
	for n := uint64(0); n < end; n += blockSize {
		s.Add(n + blockSize/2)
	}
	gaps, next := s.Gaps(nil, 1, end, 1<<30)
	if next == end || len(gaps) > gapBlocks+1 {
		t.Errorf("%d gaps at once, up to %d", len(gaps), next)
	}
	if n := len(allGaps(t, s, 1, end, 1<<30)); n != 3*gapBlocks+1 {
		t.Errorf("%d gaps in all", n)
	}
	if gaps, next := s.Gaps(nil, end, 1<<60, 1); next != 1<<60 || !slices.Equal(gaps, []Range{{end, 1 << 60}}) {
		t.Errorf("above all members: %v, next %d", gaps, next)
	}
}

func TestTenMillionAboveAStuckFloorCostLessThanAKilobyte(t *testing.T) {
	const n = 10_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(1)
	for seq := uint64(2); seq < n; seq++ {
		s.Add(seq)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used >= 1024 {
		t.Errorf("%d bytes", used)
	}
	if s.Add(1); s.Floor() != n {
		t.Errorf("floor %d", s.Floor())
	}
	runtime.KeepAlive(s)
}

func TestAddInOrderAllocatesNothing(t *testing.T) {
	s := New(1 << 40)
	if n := testing.AllocsPerRun(10_000, func() { s.Add(s.Floor()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAddNearlyInOrderAllocatesNextToNothing(t *testing.T) {
	s := New(1 << 40)
	n := testing.AllocsPerRun(100_000, func() {
		s.Add(s.Floor() + 1)
		s.Add(s.Floor())
	})
	if n != 0 || s.Max() != s.Floor() {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAddInOrder(b *testing.B) {
	b.ReportAllocs()
	s := New(1)
	for b.Loop() {
		s.Add(s.floor)
	}
}

func BenchmarkAddOutOfOrder(b *testing.B) {
	b.ReportAllocs()
	s := New(0)
	perm := rand.Perm(256)
	for i := uint64(0); b.Loop(); i++ {
		s.Add(i&^255 + uint64(perm[i&255]))
	}
}
