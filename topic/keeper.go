package topic

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"qmq/diskqueue"
	"qmq/internal/deadline"
)

const (
	// tellAfter is how long after messages were made void the journal is told, as long
	// as what channels know takes.
	tellAfter = 50 * time.Millisecond
	// keepPause is how long after a look at a topic there is no other because of time.
	keepPause = 20 * time.Millisecond
)

// keeper has a topic keep to its settings as time passes: messages that are too old, or
// that there is no room for, are made void. It has a goroutine only while there is
// something to do.
type keeper struct {
	t     *Topic
	timer atomic.Pointer[deadline.Timer] // nil before the first need

	mu             sync.Mutex // guards what follows; the timer's is taken under it
	running, again bool
	stopped        bool
	ended          sync.WaitGroup // run
}

// by has the topic looked at by the steady time at, ns.
func (k *keeper) by(at int64) {
	if at == math.MaxInt64 {
		return
	}
	timer := k.timer.Load()
	if timer == nil {
		if timer = k.newTimer(); timer == nil {
			return
		}
	}
	timer.Arm(at)
}

// newTimer makes the timer; nil when the topic has been stopped.
func (k *keeper) newTimer() *deadline.Timer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return nil
	}
	if k.timer.Load() == nil {
		k.timer.Store(k.t.o.Common.Channels.Deadlines.NewTimer(func(int64) { k.begin() }))
	}
	return k.timer.Load()
}

// begin has the topic looked at now. It does not wait.
func (k *keeper) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopped:
	case k.running:
		k.again = true
	default:
		k.running = true
		k.ended.Go(k.run)
	}
}

// run looks after the topic until there is nothing to do now.
func (k *keeper) run() {
	for again := true; again; again = k.goesOn() {
		next := k.t.keep()
		k.by(max(next, k.t.reclaimer.now()+int64(keepPause)))
	}
}

func (k *keeper) goesOn() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = k.again && !k.stopped
	k.again = false
	return k.running
}

// stop ends it: nothing is made void any more.
func (k *keeper) stop() {
	k.mu.Lock()
	k.stopped = true
	if timer := k.timer.Load(); timer != nil {
		timer.Stop()
	}
	k.mu.Unlock()
	k.ended.Wait()
}

// keep makes void what is to be, and says when to look again, steady ns.
func (t *Topic) keep() (next int64) {
	t.limiter.relieve()
	next = min(t.expiry.expire(), t.reclaimer.retire(), t.endDone())
	t.tellVoids()
	return next
}

// voided has the journal told soon of what was made void.
func (t *Topic) voided() { t.keeper.by(t.reclaimer.now() + int64(tellAfter)) }

// committed is told of what was committed.
func (t *Topic) committed(added diskqueue.Appended) { t.keeper.by(t.expiry.committed(added)) }
