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

// ExpireAt is until when a message is good that is published now, wall clock ns, and lives
// for so long from the moment at which it may be delivered, which is after delay; 0 for a
// time to live of 0: it is always good.
func ExpireAt(now int64, delay, ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	return DueAt(now, max(0, delay)+ttl)
}
