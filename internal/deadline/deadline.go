// Package deadline calls functions when their time has come: one goroutine and
// one timer of the runtime serve all deadlines of the daemon. It never calls
// early and polls nothing: with no deadline ahead the goroutine sleeps for
// ever.
package deadline

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/clock"
)

// minSleep is the shortest sleep between two rounds, in ns: deadlines that are
// closer together are served in one round.
const minSleep = int64(time.Millisecond)

// unarmed is the deadline of a Timer that has none.
const unarmed = math.MaxInt64

// Queue serves Timers. Its methods may be called concurrently.
type Queue struct {
	clock *clock.Clock
	wake  chan struct{} // an earlier deadline came, or Close; holds one
	done  chan struct{} // closed when the goroutine has ended

	mu       sync.Mutex
	timers   timerHeap // the armed ones
	sleeping int64     // until when the goroutine sleeps; 0 while it works
	closed   bool
}

// New starts a queue with its goroutine.
func New(c *clock.Clock) *Queue {
	q := &Queue{clock: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Close stops the goroutine and waits for it. No timer fires afterwards;
// arming one is no error and does nothing. A timer's function must not call it.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	<-q.done
}

// NewTimer makes a timer, not armed yet. When it fires, f is called with the
// steady time on the queue's goroutine, one function at a time and with no
// lock held; it must not block for long.
func (q *Queue) NewTimer(f func(now int64)) *Timer {
	t := &Timer{queue: q, f: f, index: -1}
	t.at.Store(unarmed)
	return t
}

func (q *Queue) run() {
	defer close(q.done)
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		t, wait, open := q.next()
		switch {
		case !open:
			return
		case t != nil:
			t.f(q.clock.Now())
		case wait == unarmed:
			<-q.wake
		default:
			sleep.Reset(time.Duration(wait))
			select {
			case <-q.wake:
			case <-sleep.C:
			}
		}
	}
}

// next takes the timer that is due out of the queue or says how long to sleep
// (ns, or unarmed). open is false after Close.
func (q *Queue) next() (due *Timer, wait int64, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sleeping = 0
	if q.closed {
		return nil, 0, false
	}
	if len(q.timers) == 0 {
		q.sleeping = unarmed
		return nil, unarmed, true
	}
	now, first := q.clock.Now(), q.timers[0]
	at := first.at.Load()
	if at <= now {
		heap.Pop(&q.timers)
		// From here on Arm queues the timer anew. An Arm that still read the
		// old deadline came before f, which thus sees what Arm's caller did.
		first.at.Store(unarmed)
		return first, 0, true
	}
	q.sleeping = max(at, now+minSleep)
	return nil, q.sleeping - now, true
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Timer is one deadline. Its methods may be called concurrently, with locks
// held and from the timer's own function.
type Timer struct {
	queue *Queue
	f     func(now int64)
	// at is the deadline in steady ns, or unarmed. It is written under
	// queue.mu; Arm reads it without, and a stale value does no harm there:
	// deadlines get earlier until the timer fires.
	at    atomic.Int64
	index int // in queue.timers, -1 when not there; guarded by queue.mu
}

// Arm makes the timer fire at the steady time at (ns) or soon after. A timer
// that is armed for an earlier time stays so, which costs next to nothing.
// A timer fires once and then has to be armed again.
func (t *Timer) Arm(at int64) {
	if t.at.Load() <= at {
		return
	}
	q := t.queue
	q.mu.Lock()
	if q.closed || t.at.Load() <= at {
		q.mu.Unlock()
		return
	}
	t.at.Store(at)
	if t.index < 0 {
		heap.Push(&q.timers, t)
	} else {
		heap.Fix(&q.timers, t.index)
	}
	early := at < q.sleeping-minSleep
	q.mu.Unlock()
	if early {
		q.signal()
	}
}

// Stop takes the deadline back. The function is not called after Stop has
// returned, unless its call was under way.
func (t *Timer) Stop() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.index >= 0 {
		heap.Remove(&q.timers, t.index)
		t.at.Store(unarmed)
	}
}

// timerHeap is a binary heap by deadline.
type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Load() < h[j].at.Load() }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	last := len(old) - 1
	t := old[last]
	old[last] = nil
	t.index = -1
	*h = old[:last]
	return t
}
