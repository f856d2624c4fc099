package cluster

import (
	"math"
	"time"
)

// A depth is remembered in steps of half a minute, of each the lowest and the
// highest value: what happens in between is noise.
const (
	depthStep   = 30 * time.Second
	twoMinutes  = 4  // steps
	tenMinutes  = 20 // steps
	depthSteps  = tenMinutes + 1
	tenToTwoAgo = tenMinutes - twoMinutes + 1 // where the oldest two minutes begin
)

// Less than that is no growth, in messages.
const (
	minFastFill = 10 // in two minutes
	minSlowFill = 3  // in ten
	minGrowth   = 30 // in ten, of a depth that goes up and down
)

// depths are ten minutes of a depth. The zero value knows nothing.
type depths struct {
	began       time.Time // of step 0
	lastAt      time.Time
	last        int64
	step        int64 // the newest, which is not over yet
	lows, highs [depthSteps]int64
}

// add moves on to now.
func (d *depths) add(now time.Time, depth int64) {
	if d.began.IsZero() || now.Before(d.lastAt) {
		*d = depths{began: now, last: depth, step: -1}
	}
	step := int64(now.Sub(d.began) / depthStep)
	for s := max(d.step+1, step-depthSteps+1); s <= step; s++ {
		i := s % depthSteps
		d.lows[i], d.highs[i] = min(d.last, depth), max(d.last, depth)
		if s == step {
			d.lows[i], d.highs[i] = depth, depth
		}
	}
	i := step % depthSteps
	d.lows[i], d.highs[i] = min(d.lows[i], depth), max(d.highs[i], depth)
	d.step, d.last, d.lastAt = step, depth, now
}

// knows tells whether it looks back so many steps.
func (d *depths) knows(steps int64) bool { return !d.began.IsZero() && d.step >= steps }

// low is the lowest value in n steps, the newest of which is back steps ago.
func (d *depths) low(back, n int64) int64 {
	lowest := int64(math.MaxInt64)
	for s := d.step - back; s > d.step-back-n && s >= 0; s-- {
		lowest = min(lowest, d.lows[s%depthSteps])
	}
	return lowest
}

// high is the highest value in n steps, the newest of which is back steps ago.
func (d *depths) high(back, n int64) int64 {
	highest := int64(math.MinInt64)
	for s := d.step - back; s > d.step-back-n && s >= 0; s-- {
		highest = max(highest, d.highs[s%depthSteps])
	}
	return highest
}

// since is by how much the depth is higher than so many steps ago.
func (d *depths) since(steps int64) int64 { return d.last - d.low(steps, 1) }

// fills tells whether a depth of which nobody takes anything grows: fast, for two
// minutes and still, or slowly, for ten.
func (d *depths) fills() bool { return d.fillsFast() || d.fillsSlowly() }

func (d *depths) fillsFast() bool {
	return d.knows(twoMinutes) && d.since(twoMinutes) >= minFastFill && d.rises(1, 2, 3, twoMinutes)
}

func (d *depths) fillsSlowly() bool {
	return d.knows(tenMinutes) && d.since(tenMinutes) >= minSlowFill && d.rises(6, 13, tenMinutes)
}

// rises tells whether it was lower and lower so many steps ago: one burst is no
// growth.
func (d *depths) rises(steps ...int64) bool {
	higher := d.last
	for _, back := range steps {
		lower := d.low(back, 1)
		if lower >= higher {
			return false
		}
		higher = lower
	}
	return true
}

// fillRate is how fast it fills, per second; 0 if it does not.
func (d *depths) fillRate() float64 {
	steps := int64(twoMinutes)
	switch {
	case d.fillsFast():
	case d.fillsSlowly():
		steps = tenMinutes
	default:
		return 0
	}
	return float64(d.since(steps)) / d.lastAt.Sub(d.began.Add(time.Duration(d.step-steps)*depthStep)).Seconds()
}

// grows tells whether a depth that goes up and down has grown for ten minutes: the
// lowest values of two minutes have become higher and higher.
func (d *depths) grows() bool {
	if !d.knows(tenMinutes) || d.calmedDown() {
		return false
	}
	now, before := d.low(0, twoMinutes), d.low(twoMinutes, twoMinutes)
	between, was := d.low(tenToTwoAgo/2, twoMinutes), d.low(tenToTwoAgo, twoMinutes)
	return now > before && before >= between && between > was && now-was >= max(minGrowth, was/100)
}

// growRate is how fast the lowest values have become higher, per second.
func (d *depths) growRate() float64 {
	if !d.knows(tenMinutes) {
		return 0
	}
	return float64(d.low(0, twoMinutes)-d.low(tenToTwoAgo, twoMinutes)) / (tenToTwoAgo * depthStep).Seconds()
}

// calmedDown tells the opposite of grows, with some distance: the highest values of two
// minutes have become lower, or nothing has become higher in ten.
func (d *depths) calmedDown() bool {
	if d.knows(2*twoMinutes) && d.high(0, twoMinutes+1) < d.high(twoMinutes+1, twoMinutes) {
		return true
	}
	return d.knows(tenMinutes) && d.low(0, twoMinutes) <= d.low(tenToTwoAgo, twoMinutes)
}
