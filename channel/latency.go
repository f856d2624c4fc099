package channel

import (
	"sync/atomic"

	"qmq/internal/histogram"
	"qmq/internal/quantile"
)

// published is when a message in flight was published, on the steady clock, in the
// 52 upper bits, in units of 1,024 ns, and whose time that is, by the 12 lower bits of
// the sequence number; 0: it is not known.
//
// A message's age is taken by the wall clock once, when it is handed out, and is never
// below 0; from then on it grows with the steady clock, which no step of the wall clock
// moves.
type published struct{ at atomic.Uint64 }

const (
	ofSeq  = 12 // bits
	unitNs = 10 // 2^unitNs ns is the unit
)

// note notes that the message seq was published at a time, steady ns.
func (p *published) note(seq uint64, at int64) {
	p.at.Store(uint64(at>>unitNs)<<ofSeq | seq&(1<<ofSeq-1))
}

// of is when the message seq was published, steady ns; known is false where nobody has
// noted it.
func (p *published) of(seq uint64) (at int64, known bool) {
	v := p.at.Load()
	return int64(v) >> ofSeq << unitNs, v != 0 && v&(1<<ofSeq-1) == seq&(1<<ofSeq-1)
}

// finish acknowledges a message, and adds to ages how long that took since it was
// published. mu is held.
func (k *Consumer) finish(seq uint64, now int64, ages *histogram.Run) error {
	c := k.ch
	i, err := c.core.held(&k.holder, seq)
	if err != nil {
		return err
	}
	if at, known := c.core.flight.publishedAt(i).of(seq); known {
		ages.Add(now - at)
		if c.latency != nil {
			c.latency.Add(now, now-at)
		}
	}
	c.core.finishHeld(&k.holder, seq, i)
	return nil
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

// ages count how long messages took from publish until they were handed out, each time
// anew, and until their FIN.
type ages struct{ handedOut, done histogram.Histogram }

// aging are the channel's ages.
func (c *Channel) aging() *ages {
	if a := c.ages.Load(); a != nil {
		return a
	}
	c.ages.CompareAndSwap(nil, new(ages))
	return c.ages.Load()
}

// Latencies count, since the channel was made or restored, how long messages took from
// publish until they were handed out to a consumer, each time anew, and until their FIN;
// nil before the first. Nobody but the channel adds to them.
func (c *Channel) Latencies() (handedOut, done *histogram.Histogram) {
	a := c.ages.Load()
	if a == nil {
		return nil, nil
	}
	return &a.handedOut, &a.done
}
