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
	for from := uint64(0); len(list) > 0; {
		c.mu.Lock()
		list, from = c.core.discard(list, from, why)
		c.tellReadable()
		c.unlock()
	}
}

// AppendInFlight appends to dst which numbers of r are in flight, ascending.
func (c *Channel) AppendInFlight(dst []seqset.Range, r seqset.Range) []seqset.Range {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.appendInFlight(dst, []seqset.Range{r})
}

// appendInFlight appends to dst which numbers of a united list are in flight, one by one,
// ascending.
func (c *core) appendInFlight(dst []seqset.Range, list []seqset.Range) []seqset.Range {
	start, all := len(dst), uint64(0)
	for _, r := range list {
		all += r.To - min(r.From, r.To)
	}
	add := func(seq uint64) { dst = append(dst, seqset.Range{From: seq, To: seq + 1}) }
	if all < uint64(c.flight.len()) {
		for _, r := range list {
			for seq := r.From; seq < r.To; seq++ {
				if c.flight.find(seq) != 0 {
					add(seq)
				}
			}
		}
		return dst
	}
	c.flight.each(func(_ uint32, seq uint64, _ *entry) {
		if seqset.Contains(list, seq) {
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

// maxOpenGaps bounds what is discarded at a time, in ranges.
const maxOpenGaps = 1024

// discard makes numbers of a list count as acknowledged, or dooms them, from one of them
// on, and as many ranges as the lock should be held for. It returns what is left to do.
func (c *core) discard(list []seqset.Range, from uint64, why Why) (left []seqset.Range, next uint64) {
	var open []seqset.Range
	next = max(from, c.floor())
	for len(list) > 0 && len(open) < maxOpenGaps {
		r := list[0]
		if next = max(next, r.From); next < r.To {
			open, next = c.acked.Gaps(open, next, r.To, maxOpenGaps-len(open))
		}
		if next >= r.To {
			list = list[1:]
		}
	}
	d := c.discarded()
	open = seqset.Union(open)
	held := c.appendInFlight(nil, open)
	gone := seqset.Difference(open, held)
	for _, r := range gone {
		if to := min(r.To, c.fanOut); r.From < to {
			d.n[why] += to - r.From
		}
	}
	c.voidAll(gone)
	for _, h := range held {
		if _, already := d.doomed[h.From]; !already {
			d.doomed[h.From] = why
		}
	}
	return list, next
}

// settleDoomed acknowledges the doomed messages whose delivery has ended.
func (c *core) settleDoomed() {
	d := c.flight.discarded
	if d == nil || len(d.ended) == 0 {
		return
	}
	var gone []seqset.Range
	for _, seq := range d.ended {
		why, doomed := d.doomed[seq]
		if !doomed || c.flight.find(seq) != 0 {
			continue // it is delivered again
		}
		if !c.acked.Contains(seq) {
			d.n[why]++
			gone = append(gone, seqset.Range{From: seq, To: seq + 1})
		}
		delete(d.doomed, seq)
	}
	d.ended = d.ended[:0]
	c.voidAll(gone)
}
