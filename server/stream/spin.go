package stream

import (
	"runtime"
	"sync/atomic"
	"time"
)

// spinner decides whether a connection that has nothing to read right now is
// worth looking at again at once. A client that waits for each answer sends
// its next command some ten microseconds later; putting the goroutine and
// perhaps the processor to sleep in between costs more time than that. (One
// such publisher: 18 k msg/s without, 31 k with, at the same CPU per message.)
//
// It only looks again while the last few waits were short and nobody else was
// heard meanwhile, and for no longer than a short wait, so that it takes next
// to nothing from anybody else: where two clients take turns, a processor that
// waits for one of them is missing to the other, and to the clients. (A
// publisher and a consumer that wait for each answer: 26 k msg/s with, 32 k
// without, and a quarter less CPU.) A processor that always has something to
// run does not look at the network, so every now and then a wait is slept
// through, and with a single processor, which the client may need too, all are.
//
// Whether it pays depends on the machine: where two processors are the halves of
// one core, the one that waits slows the client down (there the publisher above
// was a fifth faster without, and took a fifth less CPU). So a connection tries
// both now and then, and goes on with what was faster.
//
// BenchmarkSpinning measures a connection with it and without.
type spinner struct {
	id         uint64    // 0 until there was something to read
	since      time.Time // when this wait began; zero when there is none
	shortWaits int       // how many waits in a row were short, with nobody else heard
	spun       int       // how many were spun through since the last sleep
	spinning   bool      // this connection is the one that spins
	trial      trial
}

const (
	// maxShortWait is how long a client that waits for each answer may take.
	maxShortWait = 50 * time.Microsecond
	// minShortWaits is how many short waits make such a client.
	minShortWaits = 3
	// maxSpun is how many waits in a row may be spun through.
	maxSpun = 32
)

// Of all connections: one at most spins.
var (
	// spinning is 1 while a connection spins.
	spinning atomic.Int32
	// lastSpinnerID is the highest id that was given out.
	lastSpinnerID atomic.Uint64
	// lastHeard is the id of the connection that was read last.
	lastHeard atomic.Uint64
)

// lookAgain says whether to look again instead of going to sleep. It lets other
// goroutines run first.
func (s *spinner) lookAgain() bool {
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
		if s.spun++; s.spun > maxSpun {
			s.spun, s.since = 0, time.Time{} // this wait says nothing of the client
			return false
		}
	}
	if s.shortWaits < minShortWaits || now.Sub(s.since) > maxShortWait || s.trial.sleeps() || !s.acquire() {
		s.release()
		return false
	}
	runtime.Gosched()
	return true
}

// heard ends the wait: there was something to read.
func (s *spinner) heard() {
	s.release()
	if !s.onlyOneHeard() {
		s.shortWaits, s.since = 0, time.Time{}
		return
	}
	if s.since.IsZero() {
		return
	}
	wait := time.Since(s.since)
	s.since = time.Time{}
	if wait > s.trial.longest() {
		s.shortWaits = 0
		return
	}
	if s.shortWaits++; s.shortWaits > minShortWaits { // the wait was spun or slept through by choice
		s.trial.note(wait)
	}
}

// onlyOneHeard notes that this connection was read, and tells whether it was also
// the one before.
func (s *spinner) onlyOneHeard() bool {
	if s.id == 0 {
		s.id = lastSpinnerID.Add(1)
	}
	if lastHeard.Load() == s.id {
		return true
	}
	lastHeard.Store(s.id)
	return false
}

// acquire makes this connection the one that spins, if it can be.
func (s *spinner) acquire() bool {
	if !s.spinning && runtime.GOMAXPROCS(0) > 1 {
		s.spinning = spinning.CompareAndSwap(0, 1)
	}
	return s.spinning
}

func (s *spinner) release() {
	if s.spinning {
		s.spinning = false
		spinning.Store(0)
	}
}
