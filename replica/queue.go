package replica

import "sync"

const (
	// maxQueuedBytes of messages wait to be looked at; more are lost.
	maxQueuedBytes = 64 << 20
	// messageBytes is what a message counts beside its entries.
	messageBytes = 256
)

// queue hands values from many goroutines to one, in order.
type queue[T any] struct {
	mu     sync.Mutex // guards what follows, for moments
	ready  sync.Cond
	list   []T
	bytes  int
	limit  int // 0: none
	closed bool
}

func (q *queue[T]) init(limit int) {
	q.ready.L = &q.mu
	q.limit = limit
}

// put appends a value. One of a size is lost where the sizes that wait exceed
// the limit. It tells whether the value is in the queue.
func (q *queue[T]) put(v T, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || size > 0 && q.limit > 0 && q.bytes+size > q.limit && q.bytes > 0 {
		return false
	}
	q.list = append(q.list, v)
	q.bytes += size
	q.ready.Signal()
	return true
}

// take waits for values and returns all; none once the queue is closed and
// empty. The slice given is used for what comes next.
func (q *queue[T]) take(used []T) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && !q.closed {
		q.ready.Wait()
	}
	list := q.list
	clear(used)
	q.list, q.bytes = used[:0], 0
	return list
}

// close lets take return what is left, and then nothing.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ready.Broadcast()
}
