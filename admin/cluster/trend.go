package cluster

import "time"

// A trend looks at a depth twice a minute: what happens in between is noise.
const (
	trendStep    = 30 * time.Second
	trendBuckets = 11 // of the last five minutes: the newest is not over yet
)

// trend is how a channel, or a topic, has been doing: what the rules about
// them need to know. Its zero value knows nothing.
type trend struct {
	next      time.Time // when the depth is looked at again
	depth     int64     // when it was last looked at
	growing   time.Time // it has grown at every look since; zero: it does not grow
	from      int64     // depth when the growing started
	shrinking time.Time

	alone       time.Time // since when there is no consumer; zero: there is
	paused      time.Time
	pausedDepth int64 // when it was paused

	timeouts, deliveries [trendBuckets]float32
	began                time.Time // of the first
	bucket               int64     // number of the newest of them
	calm                 time.Time // since when hardly any delivery times out
	last                 time.Time // when it was last told
}

// tell moves the trend to now. Rates are per second since it was last told.
func (t *trend) tell(now time.Time, s *sums, paused bool) {
	since := func(at *time.Time, holds bool) {
		switch {
		case !holds:
			*at = time.Time{}
		case at.IsZero():
			*at = now
		}
	}
	since(&t.alone, s.consumers == 0)
	if paused && t.paused.IsZero() {
		t.pausedDepth = s.depth
	}
	since(&t.paused, paused)
	t.tellDepth(now, s.depth)
	if paused {
		t.growing = time.Time{} // that is what pausing is for
	}
	t.tellTimeouts(now, s)
	timeouts, deliveries := t.lastFiveMinutes()
	since(&t.calm, timeouts <= calmShare*deliveries)
	t.last = now
}

func (t *trend) tellDepth(now time.Time, depth int64) {
	if depth == 0 {
		t.growing, t.shrinking = time.Time{}, time.Time{}
	}
	if now.Before(t.next) {
		return
	}
	first := t.next.IsZero()
	t.next = now.Add(trendStep)
	was := t.depth
	t.depth = depth
	if first {
		return
	}
	started := now.Add(-trendStep)
	if depth <= was {
		t.growing = time.Time{}
	} else if t.growing.IsZero() {
		t.growing, t.from = started, was
	}
	if depth >= was {
		t.shrinking = time.Time{}
	} else if t.shrinking.IsZero() {
		t.shrinking = started
	}
}

func (t *trend) tellTimeouts(now time.Time, s *sums) {
	if t.last.IsZero() {
		t.began = now
		return
	}
	bucket := int64(now.Sub(t.began) / trendStep)
	for b := max(t.bucket, bucket-trendBuckets) + 1; b <= bucket; b++ {
		t.timeouts[b%trendBuckets], t.deliveries[b%trendBuckets] = 0, 0
	}
	t.bucket = bucket
	dt := min(now.Sub(t.last), trendStep).Seconds()
	i := t.bucket % trendBuckets
	t.timeouts[i] += float32(s.timedOut * dt)
	t.deliveries[i] += float32(max(s.delivered, s.timedOut) * dt)
}

func (t *trend) lastFiveMinutes() (timeouts, deliveries float64) {
	for i := range trendBuckets {
		timeouts += float64(t.timeouts[i])
		deliveries += float64(t.deliveries[i])
	}
	return timeouts, deliveries
}

// growth is how fast the depth has grown since it began to, per second.
func (t *trend) growth(now time.Time, depth int64) float64 {
	if t.growing.IsZero() {
		return 0
	}
	return float64(depth-t.from) / max(now.Sub(t.growing).Seconds(), 1)
}

// lasted tells whether what began at since has held for d.
func lasted(now, since time.Time, d time.Duration) bool {
	return !since.IsZero() && now.Sub(since) >= d
}
