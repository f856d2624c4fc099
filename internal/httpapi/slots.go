package httpapi

import (
	"context"
	"time"
)

// Slots bound how many requests are served at a time of a kind that holds much
// memory until its client has read the answer. Their methods may be called
// concurrently.
type Slots struct {
	taken chan struct{} // holds one for each
	wait  time.Duration
}

// NewSlots makes n slots; who finds none free waits that long.
func NewSlots(n int, wait time.Duration) *Slots {
	return &Slots{taken: make(chan struct{}, n), wait: wait}
}

// Enter takes a slot, which Leave gives back. It returns false when there was
// none in time, or ctx was done before.
func (s *Slots) Enter(ctx context.Context) bool {
	wait := time.NewTimer(s.wait)
	defer wait.Stop()
	select {
	case s.taken <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

// Leave gives a slot back.
func (s *Slots) Leave() { <-s.taken }

// Taken is how many are.
func (s *Slots) Taken() int { return len(s.taken) }
