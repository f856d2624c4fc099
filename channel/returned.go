package channel

import "qmq/internal/seqset"

// again is a message that waits to be delivered again, or a deferred one that
// waits for its first delivery.
type again struct {
	seq      uint64
	attempts uint16
	delayed  bool // a delayed record of the log
}

// returnedQueue is a FIFO of messages that came back and may be delivered again
// now. It is a ring that grows and shrinks.
type returnedQueue struct {
	ring []again // its length is a power of two, or 0
	head int
	n    int
}

const returnedMin = 16 // the least room, in messages

func (q *returnedQueue) len() int { return q.n }

// at is the i-th message from the front.
func (q *returnedQueue) at(i int) *again { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *returnedQueue) pushBack(m again) {
	q.grow()
	q.n++
	*q.at(q.n - 1) = m
}

func (q *returnedQueue) pushFront(m again) {
	q.grow()
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.n++
	q.ring[q.head] = m
}

func (q *returnedQueue) popFront() again {
	m := q.ring[q.head]
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	if len(q.ring) > 64*returnedMin && q.n < len(q.ring)/8 {
		q.resize(len(q.ring) / 4)
	}
	return m
}

func (q *returnedQueue) grow() {
	if q.n == len(q.ring) {
		q.resize(max(returnedMin, 2*len(q.ring)))
	}
}

func (q *returnedQueue) resize(room int) {
	ring := make([]again, room)
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// extract takes the messages in r out and appends them to dst.
func (q *returnedQueue) extract(r seqset.Range, dst []again) []again {
	for i := range q.n {
		if m := *q.at(i); r.From <= m.seq && m.seq < r.To {
			dst = append(dst, m)
		}
	}
	q.removeRange(r.From, r.To)
	return dst
}

// removeRange takes the messages in [from, to) out; the others keep their order.
func (q *returnedQueue) removeRange(from, to uint64) {
	kept := 0
	for i := range q.n {
		if m := *q.at(i); m.seq < from || m.seq >= to {
			*q.at(kept) = m
			kept++
		}
	}
	q.n = kept
}
