package server

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
// It only looks again while the last few waits were short, for no longer than
// a short wait, and for one connection of the process at a time, so that it
// takes next to nothing from anybody else. A processor that always has
// something to run does not look at the network, so every now and then a wait
// is slept through, and with a single processor, which the client may need
// too, all are.
type spinner struct {
	since   time.Time // when this wait began; zero when there is none
	quick   int       // how many waits in a row were short
	spun    int       // how many were spun through since the last sleep
	holding bool      // this connection is the one
}

const (
	// shortWait is how long a client that waits for each answer may take.
	shortWait = 50 * time.Microsecond
	// quickEnough is how many short waits make such a client.
	quickEnough = 3
	// longestRun is how many waits in a row may be spun through.
	longestRun = 32
)

// spinning is 1 while a connection spins.
var spinning atomic.Int32

// again says whether to look again instead of going to sleep. It lets other
// goroutines run first.
func (s *spinner) again() bool {
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
		if s.spun++; s.spun > longestRun {
			s.spun, s.since = 0, time.Time{} // this wait says nothing of the client
			return false
		}
	}
	if s.quick < quickEnough || now.Sub(s.since) > shortWait || !s.hold() {
		s.release()
		return false
	}
	runtime.Gosched()
	return true
}

// came ends the wait: there was something to read.
func (s *spinner) came() {
	s.release()
	if s.since.IsZero() {
		return
	}
	if time.Since(s.since) <= shortWait {
		s.quick++
	} else {
		s.quick = 0
	}
	s.since = time.Time{}
}

func (s *spinner) hold() bool {
	if !s.holding && runtime.GOMAXPROCS(0) > 1 {
		s.holding = spinning.CompareAndSwap(0, 1)
	}
	return s.holding
}

func (s *spinner) release() {
	if s.holding {
		s.holding = false
		spinning.Store(0)
	}
}
