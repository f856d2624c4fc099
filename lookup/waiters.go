package lookup

import (
	"sync"
	"sync/atomic"
)

// maxWaiters is how many requests may wait for changes at a time.
const maxWaiters = 10_000

// waiters are the requests that wait until what they asked of a topic has another
// answer. They are woken where that may be, and look themselves; who was added
// before it looked misses nothing. The zero value has none.
type waiters struct {
	count atomic.Int64 // of all; without it nobody has to be woken

	mu   sync.Mutex // guards what follows; taken last
	asks map[string]map[*waiter]struct{}
}

// waiter is one that waits.
type waiter struct {
	topic  string
	writes bool          // asks where to publish, which every node has a part in
	woken  chan struct{} // has room for one
}

// add begins to wake somebody; nil: there are too many.
func (w *waiters) add(topic string, writes bool) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count.Load() >= maxWaiters {
		return nil
	}
	w.count.Add(1)
	one := &waiter{topic: topic, writes: writes, woken: make(chan struct{}, 1)}
	if w.asks == nil {
		w.asks = make(map[string]map[*waiter]struct{})
	}
	if w.asks[topic] == nil {
		w.asks[topic] = make(map[*waiter]struct{})
	}
	w.asks[topic][one] = struct{}{}
	return one
}

func (w *waiters) remove(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count.Add(-1)
	delete(w.asks[one.topic], one)
	if len(w.asks[one.topic]) == 0 {
		delete(w.asks, one.topic)
	}
}

// wake wakes those that asked for a topic, whose registrations changed.
func (w *waiters) wake(topic string) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.asks[topic] {
		one.wake()
	}
}

// wakeWriters wakes those that asked where to publish: a node came, went, or says
// something else.
func (w *waiters) wakeWriters() { w.wakeThose(func(one *waiter) bool { return one.writes }) }

// wakeAll wakes everybody.
func (w *waiters) wakeAll() { w.wakeThose(func(*waiter) bool { return true }) }

func (w *waiters) wakeThose(meant func(*waiter) bool) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, asks := range w.asks {
		for one := range asks {
			if meant(one) {
				one.wake()
			}
		}
	}
}

func (one *waiter) wake() {
	select {
	case one.woken <- struct{}{}:
	default: // it looks anyway
	}
}
