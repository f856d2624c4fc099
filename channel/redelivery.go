package channel

import (
	"cmp"
	"slices"

	"qmq/internal/dueheap"
	"qmq/internal/ring"
	"qmq/internal/seqset"
)

// redelivery is a message that waits to be delivered again, or a deferred one
// that waits for its first delivery.
type redelivery struct {
	seq      uint64
	attempts uint16
	delayed  bool // a delayed record of the log
}

// dueAt is m as it waits until the steady time due, in ms.
func (m redelivery) dueAt(due int64) dueheap.Item {
	return dueheap.Item{Due: due, Seq: m.seq, Attempts: m.attempts, Delayed: m.delayed}
}

// deferred is the message that waited as i.
func deferred(i dueheap.Item) redelivery {
	return redelivery{seq: i.Seq, attempts: i.Attempts, delayed: i.Delayed}
}

func sortBySeq(ms []redelivery) {
	slices.SortFunc(ms, func(a, b redelivery) int { return cmp.Compare(a.seq, b.seq) })
}

// extractReturned takes the messages in r out of q and appends them to dst.
func extractReturned(q *ring.Ring[redelivery], r seqset.Range, dst []redelivery) []redelivery {
	q.DeleteFunc(func(m redelivery) bool {
		in := holds(r, m.seq)
		if in {
			dst = append(dst, m)
		}
		return in
	})
	return dst
}

// extractDue takes the messages in r out of h and appends them to dst.
func extractDue(h *dueheap.Heap, r seqset.Range, dst []redelivery) []redelivery {
	h.Each(func(i dueheap.Item) {
		if holds(r, i.Seq) {
			dst = append(dst, deferred(i))
		}
	})
	h.RemoveRange(r.From, r.To)
	return dst
}

func holds(r seqset.Range, seq uint64) bool { return r.From <= seq && seq < r.To }
