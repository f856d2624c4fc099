// Package wake says when a goroutine is to run that exists only while there is
// something to do. It starts none itself.
package wake

import "sync/atomic"

// State is what such a goroutine is doing:
//
//	idle ──Wake──> running ──Wake──> again
//	  ^              │  ^              │
//	  └──────Idle────┘  └─────Idle─────┘
//
// A Wake that comes between the last look of the goroutine and its end turns running
// into again, and the goroutine looks once more: no Wake is lost. The zero value is
// idle. Its methods may be called concurrently.
type State struct {
	state atomic.Int32
}

const (
	idle int32 = iota
	running
	again
)

// Wake notes that there may be something to do. It returns true when the caller is
// to start the goroutine.
func (s *State) Wake() (start bool) {
	for {
		switch s.state.Load() {
		case idle:
			if s.state.CompareAndSwap(idle, running) {
				return true
			}
		case running:
			if s.state.CompareAndSwap(running, again) {
				return false
			}
		default:
			return false
		}
	}
}

// Idle is called by the goroutine when it found nothing to do. It returns true when
// the goroutine is to end, false when it is to look again.
func (s *State) Idle() (end bool) {
	if s.state.CompareAndSwap(running, idle) {
		return true
	}
	s.state.Store(running)
	return false
}

// StandIn has the caller stand for the goroutine, unless there is one: it is to call
// Idle afterwards, and to look for itself when that returns false.
func (s *State) StandIn() bool { return s.state.CompareAndSwap(idle, running) }
