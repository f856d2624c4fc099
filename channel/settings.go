package channel

import (
	"math"

	"qmq/settings"
)

// Configure makes the channel work by these settings from now on. A message whose
// delivery number MaxAttempts, or a later one, times out or is requeued goes to
// DeadLetterTopic, if both are set, and is finished here. What waits for that goes to
// the new topic, or is delivered again where there is none. What is in flight stays.
func (c *Channel) Configure(s settings.EffectiveChannel) {
	if s.MsgTimeout == c.o.MsgTimeout {
		s.MsgTimeout = 0 // which consumers that did not say have anyway
	}
	now := c.o.Clock.Now()
	c.mu.Lock()
	c.core.configure(s, now)
	c.unlock()
}

// configured is what a channel does because of its settings, or is bounded or was rewound,
// and what has become of it: few are, and an idle channel is small. What is zero was not set.
type configured struct {
	maxInFlight     int
	bucket          *bucket
	msgTimeout      int64  // ns, of consumers that did not say
	maxAttempts     uint16 // none without a deadLetterTopic
	deadLetterTopic string
	stops           bool       // after maxAttempts
	ahead           *lookahead // nil where messages are delivered in any order

	until   uint64 // the first number that does not come; 0: all do
	done    bool   // the host knows that it has had everything
	rewound uint64 // when it was rewound last, see Rewinding.Version
	rewinds uint64 // since the process began

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

func (c *core) configure(s settings.EffectiveChannel, now int64) {
	if c.conf == unconfigured && s == (settings.EffectiveChannel{}) {
		return
	}
	f := c.ownConf()
	f.maxInFlight = max(0, s.MaxInFlight)
	f.bucket = newBucket(s.Rate, f.bucket, now)
	c.configureOrder(s)
	c.bounded = f.maxInFlight > 0 || f.bucket != nil || f.ahead != nil
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
	if a := c.conf.ahead; a != nil {
		n = a.available(c)
	}
	if limit := c.conf.maxInFlight; limit > 0 {
		n = min(n, uint64(max(0, limit-c.flight.len())))
	}
	if b := c.conf.bucket; b != nil {
		n = min(n, b.available())
	}
	return n
}
