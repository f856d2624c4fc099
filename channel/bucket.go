package channel

const (
	burst = 0.1 // s: what of the rate may be saved up, but for one token at least
	// refill is how long an empty bucket is not looked at, at least, ns: a timer for each
	// token would cost more than the delivery.
	refill = 5e6
)

// bucket is a token bucket: each delivery takes a token, and they come at a rate.
type bucket struct {
	rate   float64 // tokens a second
	size   float64 // tokens at most
	tokens float64 // as of at
	at     int64   // steady ns
	dry    bool    // there is none until fullAt
	fullAt int64   // steady ns
}

// newBucket is a bucket for a rate, with what another one has; nil for no rate.
func newBucket(rate float64, old *bucket, now int64) *bucket {
	if rate <= 0 {
		return nil
	}
	b := &bucket{rate: rate, size: max(1, rate*burst), tokens: 1, at: now}
	if old != nil {
		old.fill(now)
		b.tokens = min(old.tokens, b.size)
	}
	b.take(0, now)
	return b
}

// available is how many tokens may be taken.
func (b *bucket) available() uint64 {
	if b.dry {
		return 0
	}
	return uint64(b.tokens)
}

// fill adds what has come since.
func (b *bucket) fill(now int64) {
	if now > b.at {
		b.tokens = min(b.size, b.tokens+float64(now-b.at)*b.rate/1e9)
		b.at = now
	}
	if b.dry && now >= b.fullAt {
		b.dry = b.tokens < 1
		b.fullAt = now + b.missing()
	}
}

// take takes n tokens, which are available.
func (b *bucket) take(n int, now int64) {
	b.tokens -= float64(n)
	if b.tokens < 1 && !b.dry {
		b.dry, b.fullAt = true, now+b.missing()
	}
}

// missing is for how many ns an empty bucket is not looked at.
func (b *bucket) missing() int64 {
	return max(refill, int64((1-b.tokens)/b.rate*1e9)+1)
}

// giveBack returns tokens of deliveries that did not come about.
func (b *bucket) giveBack(n int) {
	b.tokens = min(b.size, b.tokens+float64(n))
	b.dry = b.tokens < 1
}
