package channel

import (
	"math/rand/v2"
	"testing"
)

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
	} {
		c := testCore()
		h := c.testHolder(1)
		n := uint64(0)
		for n < 200_000 {
			if seq := 1<<50 + next(n); c.flight.find(seq) == 0 {
				c.flight.add(h, again{seq: seq}, 1, 1)
			}
			n++
		}
		sum := 0
		c.flight.each(func(i uint32, e *entry) {
			p, _ := c.flight.slot(e.seq)
			sum += int((p - c.flight.table.home(e.seq)) * probeInverse & uint32(len(c.flight.table.slots)-1))
		})
		if average := float64(sum) / float64(c.flight.n); average > 2 {
			t.Errorf("%s: %.1f probes", name, average)
		} else {
			t.Logf("%s: %.2f probes", name, average)
		}
	}
}
