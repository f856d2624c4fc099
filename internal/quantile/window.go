package quantile

import "time"

// Window is the durations of the last while. It moves on by halves: what it
// holds is between half a length and a length old at most. A Window is not
// safe for concurrent use.
type Window struct {
	half           int64  // ns
	until          int64  // when recent is full, steady ns
	recent, before Sketch // this half and the one before it
}

// NewWindow makes a window of that length, at least of 2 ms.
func NewWindow(length time.Duration) *Window {
	return &Window{half: int64(max(length/2, time.Millisecond))}
}

// Add counts a duration, in ns, that ended at the steady time now.
func (w *Window) Add(now, ns int64) {
	w.move(now)
	w.recent.Add(ns)
}

// MergeInto adds what the window holds at the steady time now to s.
func (w *Window) MergeInto(s *Sketch, now int64) {
	w.move(now)
	s.Merge(&w.before)
	s.Merge(&w.recent)
}

// move begins the half that now is in. The halves of all windows of a length
// begin together, so that sums of several are over the same time. A window in
// which nothing happened for its length gives its memory up.
func (w *Window) move(now int64) {
	if now < w.until {
		return
	}
	if now < w.until+w.half {
		w.before, w.recent = w.recent, w.before
		w.recent.reset()
	} else {
		w.before, w.recent = Sketch{}, Sketch{}
	}
	w.until = (now/w.half + 1) * w.half
}
