package cluster

import (
	"time"

	"qmq/admin/words"
)

// Timeouts are counted in steps of half a minute.
const (
	trendStep    = 30 * time.Second
	trendBuckets = 11 // of the last five minutes: the newest is not over yet
)

// trend is how a channel, or a topic, has been doing: what the rules about
// them need to know. Its zero value knows nothing.
type trend struct {
	depths

	alone  onset // since when there is no consumer
	paused onset

	timeouts, deliveries [trendBuckets]float32
	bucketsBegan         time.Time // of the first
	bucket               int64     // number of the newest of them
	calm                 time.Time // since when hardly any delivery times out
	told                 time.Time // when it was last told
}

// onset is since when something is so; the zero value: it is not.
type onset struct {
	at      time.Time
	atLeast bool // it was so already when it was looked at first
}

func (m *onset) set(holds bool, now time.Time, atLeast bool) {
	switch {
	case !holds:
		*m = onset{}
	case m.at.IsZero():
		*m = onset{now, atLeast}
	}
}

// lasted tells whether it has been so for d.
func (m *onset) lasted(now time.Time, d time.Duration) bool {
	return !m.at.IsZero() && now.Sub(m.at) >= d
}

// length says for how long it has been so.
func (m *onset) length(now time.Time) string {
	if m.at.IsZero() {
		return words.Duration(0)
	}
	text := words.Duration(now.Sub(m.at))
	if m.atLeast {
		return "at least " + text
	}
	return text
}

// tell moves the trend to now. Rates are per second since it was last told. What
// is so at the first look may have been so before, if that is young: then nobody
// looked before.
func (t *trend) tell(now time.Time, s *sums, paused, young bool) {
	atLeast := young && t.told.IsZero()
	if !paused && !t.paused.at.IsZero() || s.consumers > 0 && !t.alone.at.IsZero() {
		t.restart() // what has grown is taken now
	}
	t.alone.set(s.consumers == 0, now, atLeast)
	t.paused.set(paused, now, atLeast)
	t.add(now, s.depth)
	t.tellTimeouts(now, s)
	timeouts, deliveries := t.lastFiveMinutes()
	switch {
	case timeouts > calmShare*deliveries:
		t.calm = time.Time{}
	case t.calm.IsZero():
		t.calm = now
	}
	t.told = now
}

// restart forgets the depths: others are added up from now on.
func (t *trend) restart() { t.depths = depths{} }

func (t *trend) tellTimeouts(now time.Time, s *sums) {
	if t.told.IsZero() {
		t.bucketsBegan = now
		return
	}
	bucket := int64(now.Sub(t.bucketsBegan) / trendStep)
	for b := max(t.bucket, bucket-trendBuckets) + 1; b <= bucket; b++ {
		t.timeouts[b%trendBuckets], t.deliveries[b%trendBuckets] = 0, 0
	}
	t.bucket = bucket
	dt := min(now.Sub(t.told), trendStep).Seconds()
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

// timeoutTime is over how much of the last five minutes timeouts were counted.
func (t *trend) timeoutTime() time.Duration {
	return min(max(t.told.Sub(t.bucketsBegan), time.Second), (trendBuckets-1)*trendStep)
}

// lasted tells whether what began at since has held for d.
func lasted(now, since time.Time, d time.Duration) bool {
	return !since.IsZero() && now.Sub(since) >= d
}
