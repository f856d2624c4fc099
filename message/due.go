package message

import "time"

// DueAt is when a message that is published now (wall clock, ns) with a delay is
// due, as Meta.DeliverAt has it: rounded up, so that it is never early; 0 without
// a delay.
func DueAt(now int64, delay time.Duration) int64 {
	if delay <= 0 {
		return 0
	}
	const ms = int64(time.Millisecond)
	return (now + int64(delay) + ms - 1) / ms
}
