package stream

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// inNoTime runs f while the clock stands still: every wait is a short one.
func inNoTime(t *testing.T, processors int, f func(t *testing.T)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	synctest.Test(t, f)
}

// spins is how many waits in a row a quick client's connection spins through
// before it sleeps for once; it gives up counting at most.
func spins(s *spinner, most int) (n int) {
	for n < most && s.lookAgain() {
		s.heard()
		n++
	}
	return n
}

func TestSpinningEndsNowAndThenSoThatOthersAreHeard(t *testing.T) {
	inNoTime(t, 2, func(t *testing.T) {
		s := spinner{shortWaits: minShortWaits}
		s.onlyOneHeard()
		for range 3 {
			if n := spins(&s, 1000); n == 0 || n == 1000 {
				t.Fatalf("it spins through %d waits in a row", n)
			}
			if s.spinning || spinning.Load() != 0 {
				t.Fatal("a sleeping connection keeps others from spinning")
			}
			s.heard()
		}
	})
}

func TestOfTwoClientsThatTakeTurnsNoneSpins(t *testing.T) {
	inNoTime(t, 2, func(t *testing.T) {
		var a, b spinner
		turns := func(who ...*spinner) (spun int) {
			for range 10 * minShortWaits {
				for _, s := range who {
					if s.lookAgain() {
						spun++
					}
					s.heard()
				}
			}
			return spun
		}
		if turns(&a, &b) > 0 {
			t.Error("one of two spins")
		}
		if turns(&a) == 0 {
			t.Error("one that is alone does not spin")
		}
		if turns(&a, &b) > 2 {
			t.Error("the one goes on spinning when there are two again")
		}
	})
}

func TestNobodySpinsOnASingleProcessor(t *testing.T) {
	inNoTime(t, 1, func(t *testing.T) {
		s := spinner{shortWaits: minShortWaits}
		if s.lookAgain() || spinning.Load() != 0 {
			t.Error("it spins")
		}
	})
}
