package channel

import "qmq/internal/seqset"

// Owed appends to dst which numbers of [from, to) the channel still owes its
// consumers, as ranges, ascending, at most limit of them: all that are not
// acknowledged, void or dropped, whether they were given out, wait, are
// deferred, or lie at or above the fan-out position. The lock is held for some
// 100 µs at most, so next says how far it came: ask again from there, until
// next is to. A number that is not owed at one call is not owed at any later, but after a rewind.
func (c *Channel) Owed(dst []seqset.Range, from, to uint64, limit int) (owed []seqset.Range, next uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.acked.Gaps(dst, from, to, limit)
}

// AppendOwed appends to dst all that the channel owes below to.
func (c *Channel) AppendOwed(dst []seqset.Range, to uint64) []seqset.Range {
	for at := c.Floor(); at < to; {
		dst, at = c.Owed(dst, at, to, maxOpenGaps)
	}
	return seqset.Union(dst)
}
