// Package clock gives the daemon its two readings of time: a steady one for
// delays and timeouts, which no step of the system clock moves, and the wall
// clock for what is stored or shown. It starts no goroutine.
package clock

import "time"

// Clock reads a steady time line that starts at the wall clock's time of
// construction and from then on follows the monotonic clock only. All methods
// may be called concurrently.
type Clock struct {
	start time.Time
	wall  int64
}

// New starts a time line at the wall clock's present time.
func New() *Clock {
	now := time.Now()
	return &Clock{start: now, wall: now.UnixNano()}
}

// Now is the steady time in nanoseconds. It never goes back.
func (c *Clock) Now() int64 { return c.wall + int64(time.Since(c.start)) }

// Both is the steady time in nanoseconds, and what has to be added to it for the
// system clock's of the same moment.
func (c *Clock) Both() (steady, shift int64) {
	now := time.Now()
	steady = c.wall + int64(now.Sub(c.start))
	return steady, now.UnixNano() - steady
}

// Wall is the system clock in nanoseconds since 1970. It may step.
func (c *Clock) Wall() int64 { return time.Now().UnixNano() }

// ToWall is the wall-clock instant (ns) of a steady one, by its distance from
// now: it allows for how far the wall clock has been stepped since the start.
func (c *Clock) ToWall(ns int64) int64 {
	now := time.Now()
	return ns + now.UnixNano() - (c.wall + int64(now.Sub(c.start)))
}
