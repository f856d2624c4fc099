//go:build !linux

package loadgen

import "time"

// pause sleeps for d, as precisely as the runtime does.
func pause(d time.Duration) error {
	time.Sleep(d)
	return nil
}
