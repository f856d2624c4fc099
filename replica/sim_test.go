package replica

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	simSeeds = flag.Int("seeds", 300, "how many seeds the simulation runs")
	simFirst = flag.Uint64("seed", 1, "the first of them; the trace of a single one is shown if it fails")
)

const (
	simFaults = 20 * time.Second // of virtual time, with faults
	simCalm   = 60 * time.Second // at most, until all is well again
)

// simulate runs a set from a seed and returns what went wrong.
func simulate(t *testing.T, o simOptions) (w *world) {
	cryptotest.SetGlobalRandom(t, o.seed) // elections are drawn from it
	if !o.serves {
		return runWorld(o)
	}
	synctest.Test(t, func(*testing.T) {
		w = runWorld(o)
		w.served.end()
	})
	return w
}

func runWorld(o simOptions) *world {
	w := newWorld(o)
	w.run(simFaults)
	w.ending = true
	w.heal()
	for w.err == nil && !w.settled() && w.now < simFaults+simCalm {
		w.run(w.now + 100*time.Millisecond)
	}
	if w.err == nil && !w.settled() {
		w.fail("not settled: %s", w.describe())
	}
	switch {
	case w.err != nil:
	case o.serves:
		if list := w.served.unburied(); len(list) > 0 {
			w.fail("no dead letters of %v", list)
		}
	case o.whole:
		w.checkContents()
	}
	return w
}

// checkContents wants each batch once in every member's topic, in one order.
func (w *world) checkContents() {
	var want []origin
	for i, n := range w.nodes {
		got, err := n.machine.(*simTopics).contents()
		if err != nil {
			w.fail("member %d: %v", n.id, err)
			return
		}
		if i == 0 {
			want = got
		}
		if !slices.Equal(got, want) || len(got) != len(w.truth.applied) {
			w.fail("member %d has %d messages, member %d %d, of %d", n.id, len(got), w.nodes[0].id, len(want), len(w.truth.applied))
		}
	}
}

func optionsOf(seed uint64) simOptions {
	o := simOptions{seed: seed, slots: 3}
	if seed%4 == 3 {
		o.slots = 5
	}
	o.kernel = seed%3 == 2
	o.contested = seed%5 == 4
	return o
}

func TestSimulation(t *testing.T) { simulateAll(t, *simSeeds, simOptions{}) }

// TestSimulationOfWholeNodes runs with the node's log and machine.
func TestSimulationOfWholeNodes(t *testing.T) {
	simulateAll(t, max(1, *simSeeds/10), simOptions{whole: true})
}

// TestSimulationOfServedTopics runs with package serve too, whose goroutines make that a
// seed does nearly the same each time, not quite.
func TestSimulationOfServedTopics(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	simulateAll(t, max(1, *simSeeds/10), simOptions{serves: true})
}

func simulateAll(t *testing.T, seeds int, like simOptions) {
	if raced {
		seeds = max(1, seeds/50)
	}
	var okayed, leaders, repeats int
	var counts servedCounts
	for i := range uint64(seeds) {
		seed := *simFirst + i
		o := optionsOf(seed)
		o.whole, o.serves = like.whole, like.serves
		w := simulate(t, o)
		if w.served != nil {
			counts.add(w.served.counts)
		}
		okayed += w.truth.okayed
		leaders += w.truth.leaders
		repeats += w.truth.repeats
		if w.err != nil {
			if seeds == 1 || like.serves {
				t.Logf("what happened last:\n%s", w.tail(300))
			}
			t.Fatalf("seed %d: %v\nagain: go test ./replica -run '%s$' -seed=%d -seeds=1", seed, w.err, t.Name(), seed)
		}
	}
	t.Logf("%d seeds: %d OK'd, %d elections, %d duplicates skipped", seeds, okayed, leaders, repeats)
	if like.serves {
		t.Log(counts)
	}
	if okayed < 100*seeds {
		t.Errorf("only %d batches were OK'd", okayed)
	}
}

func TestSameSeedSameRun(t *testing.T) {
	run := func() string {
		w := simulate(t, optionsOf(7))
		return fmt.Sprint(w.truth.okayed, w.truth.leaders, len(w.truth.history), w.tail(1000))
	}
	first, second := run(), run()
	if first != second {
		t.Error("a seed gave two runs")
	}
}

// TestSimulationFindsFaults builds each fault in and wants it found within 1,000
// seeds, beginning with one that is known to find it.
func TestSimulationFindsFaults(t *testing.T) {
	const kernel, synced = true, false
	for _, f := range []struct {
		name   string
		bugs   bugs
		kernel bool
		first  uint64
	}{
		{"ack before sync", bugs{ackBeforeSync: true}, synced, 3},
		{"vote not stored", bugs{voteNotStored: true}, synced, 11},
		{"no hold after a torn tail", bugs{noHold: true}, synced, 228},
		{"hold ends with the asking", bugs{holdTooShort: true}, synced, 29},
		{"term kept after a torn tail", bugs{termKept: true}, synced, 89},
		{"hold forgotten by a restart", bugs{holdForgotten: true}, synced, 221},
		{"amnesia guard off", bugs{guardOff: true}, kernel, 1044},
		{"number gap passed over", bugs{passGaps: true}, synced, 1},
		{"numbers not looked at", bugs{applyTwice: true}, synced, 1},
		{"changes of another term", bugs{staleChanges: true}, synced, 3},
		{"serving before own term", bugs{serveTooSoon: true}, synced, 7},
		{"removal before promotion", bugs{removeFirst: true}, synced, 1},
		{"failed apply skipped", bugs{skipFailed: true}, synced, 0},
		{"log goes before checkpoint", bugs{compactTooMuch: true}, synced, 0},
	} {
		t.Run(f.name, func(t *testing.T) {
			for i := range uint64(1000) {
				o := optionsOf(f.first + i)
				o.bugs, o.kernel = f.bugs, f.kernel
				o.contested = o.contested || f.bugs.voteNotStored || f.bugs.termKept
				if w := simulate(t, o); w.err != nil {
					t.Logf("found by seed %d: %v", o.seed, w.err)
					return
				}
			}
			t.Error("not found in 1,000 seeds")
		})
	}
}
