// Package clock gives the daemon its two readings of time: a steady one for
// delays and timeouts, which no step of the system clock moves, and the wall
// clock for what is stored or shown. It starts no goroutine.
package clock

import (
	"sync/atomic"
	"time"
)

// Clock reads a steady time line that starts at the wall clock's time of
// construction and from then on follows the monotonic clock only. All methods
// may be called concurrently.
type Clock struct {
	start time.Time
	wall  int64
	shift atomic.Pointer[shift] // as Shift saw it last
}

// shift is how far the wall clock was ahead of the steady one at a steady time.
type shift struct{ at, by int64 }

// New starts a time line at the wall clock's present time.
func New() *Clock {
	now := time.Now()
	return &Clock{start: now, wall: now.UnixNano()}
}

// Now is the steady time in nanoseconds. It never goes back.
func (c *Clock) Now() int64 { return c.wall + int64(time.Since(c.start)) }

// shiftFor is how long a look at the system clock is good for in Shift.
const shiftFor = int64(100 * time.Millisecond)

// Shift is what was to be added to a steady time of now or not long before, ns, for the
// wall clock's of that moment: a step of that shows within 100 ms. It costs no reading of
// a clock, mostly.
func (c *Clock) Shift(now int64) int64 {
	s := c.shift.Load()
	if s == nil || now-s.at >= shiftFor {
		s = &shift{now, c.ToWall(0)}
		c.shift.Store(s)
	}
	return s.by
}

// Wall is the system clock in nanoseconds since 1970. It may step.
func (c *Clock) Wall() int64 { return time.Now().UnixNano() }

// ToWall is the wall-clock instant (ns) of a steady one, by its distance from
// now: it allows for how far the wall clock has been stepped since the start.
func (c *Clock) ToWall(ns int64) int64 {
	now := time.Now()
	return ns + now.UnixNano() - (c.wall + int64(now.Sub(c.start)))
}
