// Package quantile keeps how durations are spread over a moving window of
// time, in little memory and to about one per cent, so that percentiles of
// them can be asked for. It takes no lock, reads no clock and starts no
// goroutine.
package quantile

import (
	"math"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// shortest is the resolution of short durations, in ns.
	shortest = 1000
	// longest is what longer durations count as, in ns: a year.
	longest = 365 * 24 * 3600 * 1e9
	// digits is how many decimal digits of a duration are right.
	digits = 2
)

// Sketch says how durations are spread. The zero value is one without
// durations, which takes no memory. A Sketch is not safe for concurrent use.
//
// Memory grows with the number of distinguishable durations, not with that of
// the durations: a few KiB where the slowest takes a thousand times as long as
// the fastest, and never more than about 64 KiB.
type Sketch struct {
	buckets *hdr.PackedHistogram // nil while there are none
}

// Add counts a duration in ns. A negative one counts as 0, one of more than a
// year as a year.
func (s *Sketch) Add(ns int64) {
	s.grow()
	// It refuses only what is out of range, and 2^63 durations.
	_ = s.buckets.RecordValue(min(max(ns, 0), longest))
}

// Merge adds the durations of o, which stays as it is.
func (s *Sketch) Merge(o *Sketch) {
	if o.buckets == nil {
		return
	}
	s.grow()
	s.buckets.Merge(o.buckets)
}

func (s *Sketch) grow() {
	if s.buckets == nil {
		s.buckets = hdr.NewPacked(shortest, longest, digits)
	}
}

// Count is how many durations there are.
func (s *Sketch) Count() int64 {
	if s.buckets == nil {
		return 0
	}
	return s.buckets.TotalCount()
}

// Quantile is the shortest duration, in ns, that at least a part q (of 0 to 1)
// of all durations does not exceed; 0 when there are none.
func (s *Sketch) Quantile(q float64) int64 {
	if s.buckets == nil {
		return 0
	}
	// The rounding keeps 0.07 from being a little more than 7 per cent.
	return s.buckets.ValueAtPercentile(math.Round(q*1e12) / 1e10)
}

// reset forgets the durations and keeps the memory for others.
func (s *Sketch) reset() {
	if s.buckets != nil {
		s.buckets.Reset()
	}
}
