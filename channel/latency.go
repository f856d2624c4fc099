package channel

import "qmq/internal/quantile"

// stamp notes when the messages of a batch that h took were published, wall clock
// ns; 0 is of one that was not read. What is not h's any more is left alone. mu
// is held.
//
// A message's age is taken by the wall clock once, here, and is never below 0;
// from here on it grows with the steady clock, which no step of the wall clock
// moves.
func (c *Channel) stamp(h *holder, batch []reservation, published []int64, now int64) {
	shift := c.o.Clock.ToWall(0)
	for i, b := range batch {
		if e, err := c.core.held(h, b.seq); err == nil && published[i] != 0 {
			*c.core.flight.publishedAt(e) = min(published[i]-shift, now)
		}
	}
}

// finish acknowledges a message, and counts how long that took since it was
// published. mu is held.
func (k *Consumer) finish(seq uint64, now int64) error {
	c := k.ch
	if c.latency != nil {
		if i, err := c.core.held(&k.holder, seq); err == nil {
			c.latency.Add(now, now-*c.core.flight.publishedAt(i))
		}
	}
	return c.core.finish(&k.holder, seq)
}

// AddLatencies adds to s how long the messages that were finished within
// Options.LatencyWindow took from publish to FIN; nothing when that is 0.
func (c *Channel) AddLatencies(s *quantile.Sketch) {
	if c.latency == nil {
		return
	}
	now := c.o.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latency.MergeInto(s, now)
}
