package stream

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
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
		s := spinner{shortWaits: minShortWaits, trial: trial{phase: settled, faster: trySpinning}}
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

// waits has a quick client's connection wait n times, for as long as its waits are
// when they are spun and slept through, and says how many were spun through.
func waits(s *spinner, n int, spinning, sleeping time.Duration) (spun int) {
	for range n {
		if s.lookAgain() {
			spun++
			time.Sleep(spinning)
		} else {
			time.Sleep(sleeping)
		}
		s.heard()
	}
	return spun
}

func TestSpinningGoesOnWhereItIsFaster(t *testing.T) {
	for _, c := range []struct {
		name               string
		spinning, sleeping time.Duration
		pays               bool
	}{
		{"waking up takes long", 20 * time.Microsecond, 45 * time.Microsecond, true},
		{"the client is slowed down", 45 * time.Microsecond, 30 * time.Microsecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inNoTime(t, 2, func(t *testing.T) {
				var s spinner
				s.onlyOneHeard()
				waits(&s, 3*trialWaits, c.spinning, c.sleeping)
				if spun := waits(&s, 1000, c.spinning, c.sleeping); spun > 900 != c.pays || spun > 0 != c.pays {
					t.Errorf("%d of 1,000 waits are spun through", spun)
				}
				// The machine may be another one, or its neighbours, after a while.
				waits(&s, settledWaits, c.sleeping, c.spinning)
				waits(&s, 3*trialWaits, c.sleeping, c.spinning)
				if spun := waits(&s, 1000, c.sleeping, c.spinning); c.pays && spun > 0 {
					t.Errorf("%d of 1,000 waits are spun through although that is slower now", spun)
				}
			})
		})
	}
}
