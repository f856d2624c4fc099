package channel

// again is a message that waits to be delivered again, or a deferred one that
// waits for its first delivery.
type again struct {
	seq      uint64
	attempts uint16
	delayed  bool // a delayed record of the log
}

// readyQueue is a FIFO of messages that may be delivered now, apart from those
// that the cursor has not reached. It is a ring that grows and shrinks.
type readyQueue struct {
	ring []again // its length is a power of two, or 0
	head int
	n    int
}

const readyMin = 16 // the least room, in messages

func (q *readyQueue) len() int { return q.n }

// at is the i-th message from the front.
func (q *readyQueue) at(i int) *again { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *readyQueue) pushBack(m again) {
	q.grow()
	q.n++
	*q.at(q.n - 1) = m
}

func (q *readyQueue) pushFront(m again) {
	q.grow()
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.n++
	q.ring[q.head] = m
}

func (q *readyQueue) popFront() again {
	m := q.ring[q.head]
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	if len(q.ring) > 64*readyMin && q.n < len(q.ring)/8 {
		q.resize(len(q.ring) / 4)
	}
	return m
}

func (q *readyQueue) grow() {
	if q.n == len(q.ring) {
		q.resize(max(readyMin, 2*len(q.ring)))
	}
}

func (q *readyQueue) resize(room int) {
	ring := make([]again, room)
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// removeRange takes the messages in [from, to) out; the others keep their order.
func (q *readyQueue) removeRange(from, to uint64) {
	kept := 0
	for i := range q.n {
		if m := *q.at(i); m.seq < from || m.seq >= to {
			*q.at(kept) = m
			kept++
		}
	}
	q.n = kept
}
