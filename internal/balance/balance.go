// Package balance decides which of several destinations gets a message. It sends
// nothing itself, has no goroutine and reads no clock: times are passed in. A
// Pool's methods may be called concurrently.
package balance

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// Mode is how destinations are chosen. All modes leave out, as long as there are
// others, those that have failed lately.
type Mode string

// The modes.
const (
	Random     Mode = "random"
	RoundRobin Mode = "round-robin"
	// Weighted chooses each as often as its weight says.
	Weighted Mode = "weighted"
	// HostPool takes turns among those that work.
	HostPool Mode = "hostpool"
	// EpsilonGreedy mostly chooses the one that answers fastest, and now and then
	// any other, to learn how fast it is.
	EpsilonGreedy Mode = "epsilon-greedy"
	// Hash gives equal keys to the same destination. When one goes, only its keys
	// move; when one comes, only those that move to it.
	Hash Mode = "hash"
)

// Modes lists them.
var Modes = []Mode{Random, RoundRobin, Weighted, HostPool, EpsilonGreedy, Hash}

const (
	firstRest = time.Second // of a destination that has failed
	maxRest   = time.Minute
	epsilon   = 0.1 // share of choices that are made to learn
	smoothing = 0.1 // weight of the newest answer in the average
)

// Destination is one of a pool.
type Destination struct {
	Name   string
	Weight float64 // of Weighted and Hash; 0: 1

	failures int
	failed   time.Time     // when it did last
	until    time.Time     // it rests until then; zero: it works
	average  time.Duration // of its answers; 0: not known
	current  float64       // of smooth weighted round robin
}

// Pool is a set of destinations.
type Pool struct {
	mode Mode

	mu   sync.Mutex // guards what follows
	all  []*Destination
	next int
}

// New makes a pool. There is one destination at least, and names differ.
func New(mode Mode, destinations []Destination) (*Pool, error) {
	p := &Pool{mode: mode}
	known := false
	for _, m := range Modes {
		known = known || m == mode
	}
	if !known {
		return nil, fmt.Errorf("mode %q is none of %v", mode, Modes)
	}
	for _, d := range destinations {
		if d.Weight < 0 {
			return nil, fmt.Errorf("the weight of %s is negative", d.Name)
		}
		if d.Weight == 0 {
			d.Weight = 1
		}
		p.all = append(p.all, &d)
	}
	if len(p.all) == 0 {
		return nil, fmt.Errorf("no destination")
	}
	return p, nil
}

// Choose returns the number of a destination. The key is for Hash.
func (p *Pool) Choose(now time.Time, key []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	working := func(i int) bool { return !now.Before(p.all[i].until) }
	any := false
	for i := range p.all {
		any = any || working(i)
	}
	if !any { // all rest: then all are as good
		working = func(int) bool { return true }
	}
	chosen := -1
	switch p.mode {
	case Random:
		chosen = p.random(working)
	case Weighted:
		chosen = p.weighted(working)
	case EpsilonGreedy:
		chosen = p.fastest(working)
	case Hash:
		chosen = p.hashed(working, key)
	default:
		chosen = p.turn(working)
	}
	if d := p.all[chosen]; d.failures > 0 {
		d.until = now.Add(d.backoff()) // one try at a time
	}
	return chosen
}

// backoff is how long a destination is left out after its failures.
func (d *Destination) backoff() time.Duration {
	return min(maxRest, firstRest<<min(d.failures-1, 10))
}

func (p *Pool) turn(working func(int) bool) int {
	for {
		i := p.next % len(p.all)
		p.next++
		if working(i) {
			return i
		}
	}
}

func (p *Pool) random(working func(int) bool) int {
	for {
		if i := rand.IntN(len(p.all)); working(i) {
			return i
		}
	}
}

// weighted is smooth: those that are chosen often are spread evenly.
func (p *Pool) weighted(working func(int) bool) int {
	best, total := -1, 0.0
	for i, d := range p.all {
		if !working(i) {
			continue
		}
		d.current += d.Weight
		total += d.Weight
		if best < 0 || d.current > p.all[best].current {
			best = i
		}
	}
	p.all[best].current -= total
	return best
}

func (p *Pool) fastest(working func(int) bool) int {
	if rand.Float64() < epsilon {
		return p.random(working)
	}
	best := -1
	for i, d := range p.all {
		if working(i) && (best < 0 || d.average < p.all[best].average) {
			best = i
		}
	}
	return best
}

// hashed gives each destination a score for the key: the highest that works wins
// (rendezvous hashing).
func (p *Pool) hashed(working func(int) bool, key []byte) int {
	best, highest := -1, 0.0
	for i, d := range p.all {
		if score := d.score(key); working(i) && (best < 0 || score > highest) {
			best, highest = i, score
		}
	}
	return best
}

// score is higher the larger the weight, and for each key another one.
func (d *Destination) score(key []byte) float64 {
	h := fnv.New64a()
	h.Write([]byte(d.Name))
	h.Write([]byte{0})
	h.Write(key)
	return d.Weight / exponential(mix(h.Sum64()))
}

// Done says how a choice went: err, and how long it took. Of several that were
// under way when one failed, that one counts.
func (p *Pool) Done(i int, now time.Time, took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.all[i]
	if err != nil {
		if now.Add(-took).Before(d.failed) {
			return
		}
		d.failures++
		d.failed = now
		d.until = now.Add(d.backoff())
		return
	}
	d.failures, d.until = 0, time.Time{}
	if d.average == 0 {
		d.average = max(took, 1)
		return
	}
	d.average += time.Duration(smoothing * float64(took-d.average))
}
