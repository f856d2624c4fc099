package channel

import (
	"cmp"
	"slices"

	"qmq/internal/seqset"
)

// Why says why messages are taken away from a channel that did not finish them.
type Why uint8

// The reasons.
const (
	Dropped Why = iota // the topic had no room for them
	Expired            // they were too old
	whys
)

// Discard makes numbers count as acknowledged, as Void does, but that those in flight
// do when their delivery ends without a FIN. The list is ascending and disjoint.
func (c *Channel) Discard(list []seqset.Range, why Why) {
	for _, r := range list {
		c.mu.Lock()
		c.core.discard(r, why)
		if c.failing.Load() && c.core.readable() && c.timer != nil && !c.core.closed {
			c.timer.Arm(0) // as in Void
		}
		c.unlock()
	}
}

// AppendInFlight appends to dst which numbers of r are in flight, ascending.
func (c *Channel) AppendInFlight(dst []seqset.Range, r seqset.Range) []seqset.Range {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.appendInFlight(dst, r)
}

func (c *core) appendInFlight(dst []seqset.Range, r seqset.Range) []seqset.Range {
	start := len(dst)
	add := func(seq uint64) { dst = append(dst, seqset.Range{From: seq, To: seq + 1}) }
	if r.From < r.To && r.Len() < uint64(c.flight.len()) {
		for seq := r.From; seq < r.To; seq++ {
			if c.flight.find(seq) != 0 {
				add(seq)
			}
		}
		return dst
	}
	c.flight.each(func(_ uint32, seq uint64, _ *entry) {
		if r.From <= seq && seq < r.To {
			add(seq)
		}
	})
	slices.SortFunc(dst[start:], func(a, b seqset.Range) int { return cmp.Compare(a.From, b.From) })
	return dst
}

// discarded is what was taken away from a channel.
type discarded struct {
	n [whys]uint64 // messages, since the start of the process
	// doomed are messages in flight that are acknowledged when their delivery ends without
	// a FIN; ended those of them whose delivery has.
	doomed map[uint64]Why
	ended  []uint64
}

// left is called with each message that leaves flight.
func (d *discarded) left(seq uint64) {
	if _, ok := d.doomed[seq]; ok {
		d.ended = append(d.ended, seq)
	}
}

// discarded is what was taken away, to be written to. It is kept with what is in flight,
// which most channels of a node with very many never have.
func (c *core) discarded() *discarded {
	if c.flight == noneInFlight {
		c.flight = newInflight()
	}
	if c.flight.discarded == nil {
		c.flight.discarded = &discarded{doomed: make(map[uint64]Why)}
	}
	return c.flight.discarded
}

// discardedFor is how many messages were taken away for a reason.
func (c *core) discardedFor(why Why) uint64 {
	if d := c.flight.discarded; d != nil {
		return d.n[why]
	}
	return 0
}

// maxOpenGaps bounds what is listed at a time.
const maxOpenGaps = 1024

// discard makes numbers of r count as acknowledged, or dooms them.
func (c *core) discard(r seqset.Range, why Why) {
	d := c.discarded()
	held := c.appendInFlight(nil, r)
	for at := max(r.From, c.floor()); at < r.To; {
		var open []seqset.Range
		open, at = c.acked.Gaps(nil, at, r.To, maxOpenGaps)
		for _, gone := range seqset.Difference(open, held) {
			if to := min(gone.To, c.fanOut); gone.From < to {
				d.n[why] += to - gone.From
			}
			c.void(gone.From, gone.To)
		}
	}
	for _, h := range held {
		if _, already := d.doomed[h.From]; !already {
			d.doomed[h.From] = why
		}
	}
}

// settleDoomed acknowledges the doomed messages whose delivery has ended.
func (c *core) settleDoomed() {
	d := c.flight.discarded
	if d == nil || len(d.ended) == 0 {
		return
	}
	for _, seq := range d.ended {
		if c.flight.find(seq) != 0 {
			continue // it is delivered again
		}
		if !c.acked.Contains(seq) {
			d.n[d.doomed[seq]]++
			c.void(seq, seq+1)
		}
		delete(d.doomed, seq)
	}
	d.ended = d.ended[:0]
}
