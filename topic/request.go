package topic

import (
	"sync/atomic"

	"qmq/diskqueue"
)

// request is a batch on its way and how its publisher is woken.
type request struct {
	batch    *diskqueue.Batch
	promised load   // to the limiter
	claim    *claim // of the ids in the batch; nil: none counts
	err      error
	signal   chan signal // of capacity 1
	next     *request    // in requestList
}

type signal int

const (
	answered signal = iota // request.err says how
	lead                   // this publisher writes next
)

// requestList is requests that no publisher uses now.
type requestList struct {
	first    *request                // guarded by pipeline.mu
	returned atomic.Pointer[request] // those that their publishers brought back, with no lock
}

// take takes a request, or makes one. The caller holds pipeline.mu.
func (l *requestList) take(b *diskqueue.Batch) *request {
	if l.first == nil && l.returned.Load() != nil {
		l.first = l.returned.Swap(nil)
	}
	r := l.first
	if r == nil {
		return &request{batch: b, signal: make(chan signal, 1)}
	}
	l.first, r.next, r.batch = r.next, nil, b
	return r
}

// put takes an answered request back and says how it ended. The caller holds
// pipeline.mu.
func (l *requestList) put(r *request) error {
	err := r.err
	r.batch, r.claim, r.err, r.next = nil, nil, nil, l.first
	l.first = r
	return err
}

// putBack is put for a publisher that waited.
func (l *requestList) putBack(r *request) error {
	err := r.err
	r.batch, r.claim, r.err = nil, nil, nil
	for {
		r.next = l.returned.Load()
		if l.returned.CompareAndSwap(r.next, r) {
			return err
		}
	}
}
