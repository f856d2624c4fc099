//go:build !linux

package loadgen

import "time"

// timer wakes a goroutine at a moment, as precisely as the runtime does.
type timer struct{}

func newTimer() (*timer, error) { return new(timer), nil }

func (*timer) sleep(d time.Duration) error {
	time.Sleep(d)
	return nil
}

func (*timer) close() {}
