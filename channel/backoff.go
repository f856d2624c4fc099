package channel

const (
	minBackoff = 100 * 1e6 // ns, after the first failed read
	maxBackoff = 5 * 1e9   // ns
)

// backOff stops delivery for a while because a message could not be read; each
// time twice as long as before, until readAgain.
func (c *core) backOff(now int64) {
	if c.backingOff {
		return // several consumers failed at the same place
	}
	c.backoff = min(max(2*c.backoff, minBackoff), maxBackoff)
	c.backingOff = true
	c.backoffUntil = now + c.backoff
}

// readAgain notes that messages can be read.
func (c *core) readAgain() {
	c.backoff = 0
	c.backingOff = false
}

// readable says that nothing is known that cannot be read.
func (c *core) readable() bool { return c.backoff == 0 && c.barred == nil }

// resume ends a backoff whose time is over, tries again what is barred, and notes which
// tokens have come.
func (c *core) resume(now int64) {
	if b := c.conf.bucket; b != nil {
		b.fill(now)
	}
	if c.barred != nil { // retry takes a long stack, which each delivery would have to grow
		c.retry(now)
	}
	if c.backingOff && now >= c.backoffUntil {
		c.backingOff = false
	}
}
