package server

import "time"

// How long an acceptor waits after an error, and how often it says so.
const (
	firstBackoff   = 5 * time.Millisecond
	longestBackoff = time.Second
	logEvery       = time.Second
)

// backoff is how long to wait between attempts that keep failing: twice as
// long each time. The zero value is ready.
type backoff struct {
	next    time.Duration
	lastLog time.Time
}

func (b *backoff) reset() { b.next = 0 }

// delay is how long the next wait will be.
func (b *backoff) delay() time.Duration { return max(b.next, firstBackoff) }

// wait sleeps for the delay and doubles it; false means that stop was closed.
func (b *backoff) wait(stop <-chan struct{}) bool {
	d := b.delay()
	b.next = min(2*d, longestBackoff)
	return !waitFor(stop, d)
}

// shouldLog is true at most once in logEvery.
func (b *backoff) shouldLog() bool {
	now := time.Now()
	if now.Sub(b.lastLog) < logEvery {
		return false
	}
	b.lastLog = now
	return true
}
