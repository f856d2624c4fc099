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
// full segments.
func (t *Topic) letGo() {
	if !t.letting.TryLock() {
		return // somebody is at it
	}
	defer t.letting.Unlock()
	if t.wake.Load() == math.MaxUint64 {
		return
	}
	floor, channels := t.lowest()
	if channels > 0 {
		t.o.Log.TrimHot(floor)
	}
	t.o.Log.Reclaim(floor)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookForWake()
}

// lowest is the lowest number that anybody may still need.
func (t *Topic) lowest() (floor uint64, channels int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	floor = t.fanOut
	for _, c := range t.order {
		floor = min(floor, c.Floor())
	}
	return floor, len(t.order)
}
