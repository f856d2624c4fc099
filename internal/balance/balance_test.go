package balance

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

var start = time.Unix(1e9, 0)

var errDown = errors.New("down")

func pool(t *testing.T, mode Mode, names ...string) *Pool {
	t.Helper()
	var list []Destination
	for _, name := range names {
		list = append(list, Destination{Name: name})
	}
	p, err := New(mode, list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// counts chooses so often and counts.
func counts(p *Pool, n int, now time.Time) []int {
	c := make([]int, len(p.all))
	for i := range n {
		c[p.Choose(now, fmt.Append(nil, "key ", i))]++
	}
	return c
}

func TestEveryModeUsesAllThatWorkAndNoneThatFails(t *testing.T) {
	for _, mode := range Modes {
		p := pool(t, mode, "a", "b", "c", "d")
		for i := range p.all {
			p.Done(i, start, time.Millisecond, nil)
		}
		for i, n := range counts(p, 4000, start) {
			if n < 50 {
				t.Errorf("%s: destination %d is chosen %d times in 4000", mode, i, n)
			}
		}
		p.Done(2, start, 0, errDown)
		if c := counts(p, 4000, start.Add(firstRest-1)); c[2] != 0 {
			t.Errorf("%s: one that has failed is chosen %d times while it rests", mode, c[2])
		}
		if c := counts(p, 4000, start.Add(firstRest)); c[2] != 1 {
			t.Errorf("%s: after its rest it is tried %d times before its answer is known", mode, c[2])
		}
		p.Done(2, start.Add(firstRest), time.Millisecond, nil)
		if c := counts(p, 4000, start.Add(firstRest)); c[2] < 50 {
			t.Errorf("%s: when it works again it is chosen %d times", mode, c[2])
		}
		for i := range p.all {
			p.Done(i, start, 0, errDown)
		}
		p.Choose(start, nil) // when none works, one is chosen all the same
	}
}

func TestRestsGrow(t *testing.T) {
	p := pool(t, RoundRobin, "a", "b")
	now := start
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		p.Done(0, now, 0, errDown)
		if got := p.all[0].until.Sub(now); got != want*time.Second {
			t.Errorf("it rests %v, want %v", got, want*time.Second)
		}
		now = p.all[0].until
	}
}

func TestFailuresOfOneMomentCountOnce(t *testing.T) {
	p := pool(t, RoundRobin, "a", "b")
	for i := range 10 {
		p.Done(0, start.Add(time.Duration(i)), time.Second, errDown)
	}
	if p.all[0].failures != 1 {
		t.Errorf("%d failures", p.all[0].failures)
	}
}

func TestTurnsAndWeightsAreEven(t *testing.T) {
	if c := counts(pool(t, RoundRobin, "a", "b", "c"), 300, start); c[0] != 100 || c[1] != 100 || c[2] != 100 {
		t.Errorf("in turn: %v", c)
	}
	p, err := New(Weighted, []Destination{{Name: "a", Weight: 3}, {Name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if c := counts(p, 400, start); c[0] != 300 || c[1] != 100 {
		t.Errorf("3 to 1: %v", c)
	}
}

func TestEpsilonGreedyPrefersTheFastest(t *testing.T) {
	p := pool(t, EpsilonGreedy, "slow", "fast", "slower")
	for i, took := range []time.Duration{20, 1, 40} {
		p.Done(i, start, took*time.Millisecond, nil)
	}
	if c := counts(p, 1000, start); c[1] < 850 || c[0] == 0 || c[2] == 0 {
		t.Errorf("%v", c)
	}
	for range 100 { // it becomes slow
		p.Done(1, start, 100*time.Millisecond, nil)
	}
	if c := counts(p, 1000, start); c[0] < 850 {
		t.Errorf("when it has become slow: %v", c)
	}
}

// TestHashMovesOnlyTheKeysOfADestinationThatGoes: at most their share, and none of
// the others'.
func TestHashMovesOnlyTheKeysOfADestinationThatGoes(t *testing.T) {
	const keys = 10000
	names := []string{"a", "b", "c", "d", "e"}
	p := pool(t, Hash, names...)
	before := make([]int, keys)
	for i := range before {
		before[i] = p.Choose(start, fmt.Append(nil, "key ", i))
	}
	less := pool(t, Hash, names[:4]...)
	p.Done(4, start, 0, errDown)
	moved := 0
	for i, was := range before {
		now := p.Choose(start, fmt.Append(nil, "key ", i))
		if now != less.Choose(start, fmt.Append(nil, "key ", i)) {
			t.Fatal("a destination that rests and one that is not there make a difference")
		}
		if now != was {
			moved++
			if was != 4 {
				t.Fatalf("key %d moves from %d, which works, to %d", i, was, now)
			}
		}
	}
	if moved < keys/5*9/10 || moved > keys/5*11/10 {
		t.Errorf("%d of %d keys move", moved, keys)
	}
}

func TestMistakesAreTold(t *testing.T) {
	for _, make := range []func() (*Pool, error){
		func() (*Pool, error) { return New("best", []Destination{{Name: "a"}}) },
		func() (*Pool, error) { return New(Hash, nil) },
		func() (*Pool, error) { return New(Weighted, []Destination{{Name: "a", Weight: -1}}) },
	} {
		if _, err := make(); err == nil {
			t.Error("no error")
		}
	}
}
