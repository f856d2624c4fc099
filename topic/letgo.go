package topic

import "math"

// moved is called by a channel when its floor has moved.
func (t *Topic) moved(floor uint64) {
	if floor >= t.wake.Load() {
		t.letGo()
	}
}

// lookForWake notes at which floor the next thing can be let go. The caller
// holds t.mu.
func (t *Topic) lookForWake() {
	t.wake.Store(min(t.o.Log.ReclaimAt(), t.o.Log.TrimAt()))
}

// letGo gives up what no channel needs any more: memory of the hot tail and
// full segments. While one goroutine is at it, others leave it to that one,
// which looks again when it is done.
func (t *Topic) letGo() {
	for t.letting.TryLock() {
		floor := t.needed() // under the lock: who takes it keeps what is there
		t.letGoBelow(floor)
		t.letting.Unlock()
		if now := t.needed(); now == floor || now < t.wake.Load() {
			return
		}
	}
}

// letGoBelow gives up what lies below floor, unless the topic was stopped. The
// caller holds t.letting.
func (t *Topic) letGoBelow(floor uint64) {
	if t.wake.Load() == math.MaxUint64 {
		return
	}
	t.o.Log.TrimHot(floor)
	t.o.Log.Reclaim(floor)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookForWake()
}

// needed is the lowest number that anybody may still need.
func (t *Topic) needed() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lowest()
}

// lowest is needed for a caller that holds t.mu.
func (t *Topic) lowest() uint64 {
	floor := t.fanOut
	for _, s := range t.channels {
		floor = min(floor, s.channel.Floor())
	}
	if t.aside != nil {
		floor = min(floor, t.aside.Floor())
	}
	return floor
}
