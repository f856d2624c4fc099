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
	floor := t.lowest()
	for t.letting.TryLock() {
		t.letGoBelow(floor)
		t.letting.Unlock()
		was := floor
		if floor = t.lowest(); floor == was || floor < t.wake.Load() {
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

// lowest is the lowest number that anybody may still need.
func (t *Topic) lowest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	floor := t.fanOut
	for _, c := range t.order {
		floor = min(floor, c.Floor())
	}
	if t.leaving != nil {
		floor = min(floor, t.leaving.Floor())
	}
	return floor
}
