package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// given is how many bytes a second a pace lets through for so long, while there is a save
// between two pieces, which takes as long as saves says of its number; 0: there is none.
func (p *pace) given(t *testing.T, d time.Duration, saves func(n int) time.Duration) float64 {
	t.Helper()
	const piece = 512 << 10
	began, bytes := time.Now(), 0
	for n := 0; time.Since(began) < d; n++ {
		if err := p.wait(t.Context(), piece); err != nil {
			t.Fatal(err)
		}
		if took := saves(n); took > 0 {
			p.saved(took)
		}
		bytes += piece
	}
	return float64(bytes) / time.Since(began).Seconds()
}

// each is saves that take as long as one another.
func each(took time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return took }
}

const pacedRate = 100 << 20

// pacedIn is a pace that knows that saves take a millisecond.
func pacedIn() *pace {
	p := &pace{rate: pacedRate}
	for range 1000 {
		p.saved(time.Millisecond)
	}
	return p
}

func within(t *testing.T, what string, got, least, most float64) {
	t.Helper()
	if got < least*pacedRate || got > most*pacedRate {
		t.Errorf("%s: %.2f of the rate, not %.2f to %.2f", what, got/pacedRate, least, most)
	}
}

func TestWhatIsGivenIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace{rate: pacedRate}
		within(t, "nothing is saved", p.given(t, 10*time.Second, each(0)), 0.99, 1.02)
		// What is large is not waited for longer than it is asked for.
		if err := p.wait(t.Context(), 1<<40); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.wait(t.Context(), 1); err != nil || time.Since(began) > pieceTime/2 {
			t.Errorf("%s, %v", time.Since(began), err)
		}
		began, p.rate = time.Now(), 0
		if err := p.wait(t.Context(), 1<<40); err != nil || time.Since(began) > 0 {
			t.Errorf("not limited: %s, %v", time.Since(began), err)
		}
	})
}

func TestLessIsGivenWhileSavesAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacedIn()
		within(t, "saves as usual", p.given(t, 10*time.Second, each(time.Millisecond)), 0.9, 1.02)
		within(t, "slow saves", p.given(t, 10*time.Second, each(10*time.Millisecond)), 0.25, 0.3)
		within(t, "as usual again", p.given(t, 10*time.Second, each(time.Millisecond)), 0.9, 1.02)
		oneIn := func(k int) func(int) time.Duration {
			return func(n int) time.Duration {
				if n%k == 0 {
					return time.Second
				}
				return time.Millisecond
			}
		}
		within(t, "one in 20 is slow", p.given(t, 10*time.Second, oneIn(20)), 0.8, 1.02)
		within(t, "one in 4 is slow", p.given(t, 10*time.Second, oneIn(4)), 0.25, 0.5)
		within(t, "none any more", p.given(t, 10*time.Second, each(0)), 0.9, 1.02)
		// A disk that stands still for a moment, again and again.
		began := time.Now()
		within(t, "hiccups", p.given(t, 10*time.Second, func(int) time.Duration {
			if time.Since(began)%time.Second < 60*time.Millisecond {
				return 50 * time.Millisecond
			}
			return time.Millisecond
		}), 0.97, 1.02)
	})
}

// However slow the saves are, and for however long, there is a rate that is kept.
func TestSlowSavesDoNotEndWhatIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		within(t, "a disk that hangs", pacedIn().given(t, time.Hour, each(time.Minute)), 0.25, 0.26)
	})
}

// A disk that is slow in life is not taken for one that has too much to do, known or not.
func TestSlowDiskIsUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := each(15 * time.Millisecond)
		p := &pace{rate: pacedRate}
		within(t, "not known before", p.given(t, 10*time.Second, slow), 0.9, 1.02)
		p = pacedIn()
		time.Sleep(time.Minute)
		for range 1000 {
			p.saved(15 * time.Millisecond)
		}
		within(t, "it has become slow", p.given(t, 10*time.Second, slow), 0.9, 1.02)
	})
}
