package channel

import (
	"math/rand/v2"

	"qmq/internal/seqset"
)

// drawn says whether a message is among the rate per cent that a consumer
// wants.
func drawn(rate int) bool { return rand.IntN(100) < rate }

// sample drops, for good, the messages of a booking of h that it does not keep:
// they count as acknowledged, and not as delivered. Messages that were
// delivered before are kept: they have been drawn.
func (c *core) sample(h *holder, batch []booked, keep func() bool) []booked {
	kept := batch[:0]
	for _, b := range batch {
		if b.before > 0 || keep() {
			kept = append(kept, b)
			continue
		}
		c.land(c.flight.find(b.seq))
		c.acked.Add(b.seq)
		c.pending.acked(seqset.Range{From: b.seq, To: b.seq + 1})
	}
	c.undelivered(h, len(batch)-len(kept))
	c.wakeNext()
	return kept
}
