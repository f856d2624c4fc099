package channel

import (
	"math"
	"time"
)

// Settings of a channel. They may change while it is in use; what is zero is not set.
type Settings struct {
	// MsgTimeout is how long a message may be in flight at consumers that did not say
	// (ConsumerOptions.DefaultTimeout).
	MsgTimeout time.Duration
	// MaxInFlight is how many messages may be in flight at all consumers together. What
	// is in flight when it is lowered stays.
	MaxInFlight int
	// Rate is how many messages are delivered a second, at most, but for a short burst
	// after a pause.
	Rate float64
	// MaxAttempts is how often a message is delivered: one whose delivery of this number,
	// or a later one, times out or is requeued goes to DeadLetterTopic and is finished here. Both
	// are set, or none.
	MaxAttempts     uint16
	DeadLetterTopic string
}

// Configure makes the channel work by these settings from now on. What waits to be
// dead-lettered goes to the new topic, or is delivered again where there is none.
func (c *Channel) Configure(s Settings) {
	now := c.o.Clock.Now()
	c.mu.Lock()
	c.core.configure(s, now)
	c.unlock()
}

// configured is what a channel does because of its settings, and what has become of
// it. What is zero was not set.
type configured struct {
	maxInFlight     int
	bucket          *bucket
	msgTimeout      int64  // ns, of consumers that did not say
	maxAttempts     uint16 // none without a deadLetterTopic
	deadLetterTopic string

	spent        spent
	deadLettered uint64 // messages, since the start of the process
	letterError  error  // why dead letters could not be published when that was tried last
}

// unconfigured is what all channels share of which nothing was ever set. It is never
// written to.
var unconfigured = new(configured)

// ownConf is c.conf to be written to.
func (c *core) ownConf() *configured {
	if c.conf == unconfigured {
		c.conf = new(configured)
	}
	return c.conf
}

// next is when the core has to be called again because of its settings.
func (f *configured) next() int64 {
	at := int64(math.MaxInt64)
	if f.bucket != nil && f.bucket.dry {
		at = f.bucket.fullAt
	}
	if f.spent.retryAt != 0 {
		at = min(at, f.spent.retryAt)
	}
	return at
}

func (c *core) configure(s Settings, now int64) {
	if c.conf == unconfigured && s == (Settings{}) {
		return
	}
	f := c.ownConf()
	f.maxInFlight = max(0, s.MaxInFlight)
	f.bucket = newBucket(s.Rate, f.bucket, now)
	c.bounded = f.maxInFlight > 0 || f.bucket != nil
	f.msgTimeout = int64(s.MsgTimeout)
	for _, h := range c.flight.holders {
		if h != nil {
			c.setTimeout(h)
		}
	}
	c.configureSpent(s)
}

// setTimeout gives a holder its message timeout: its own, or the channel's if it did not
// say.
func (c *core) setTimeout(h *holder) {
	timeout := h.ownTimeout
	if h.defaultTimeout && c.conf.msgTimeout > 0 {
		timeout = c.conf.msgTimeout
	}
	if timeout < h.timeout {
		c.flight.unsort(h)
	}
	h.timeout = timeout
}

// unsort has the untouched messages of h where any order of deadlines is possible: those
// that follow may time out before them.
func (f *inflight) unsort(h *holder) {
	for h.head != 0 {
		f.touch(h.head, f.at(h.head).deadline)
	}
}

// bound is how many of n messages may be delivered now.
func (c *core) bound(n uint64) uint64 {
	if limit := c.conf.maxInFlight; limit > 0 {
		n = min(n, uint64(max(0, limit-c.flight.len())))
	}
	if b := c.conf.bucket; b != nil {
		n = min(n, b.available())
	}
	return n
}
