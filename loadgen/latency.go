package loadgen

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram counts durations. It belongs to one goroutine at a time. The zero
// histogram holds nothing, and takes no memory until it does.
type histogram struct{ *hdrhistogram.Histogram }

// Durations are told apart to three digits between these; longer ones count as
// the longest.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(2 * time.Minute)
)

func newHistogram() histogram { return histogram{hdrhistogram.New(shortest, longest, 3)} }

func (h *histogram) add(d time.Duration) {
	if h.Histogram == nil {
		*h = newHistogram()
	}
	// It only fails above the highest value.
	_ = h.RecordValue(min(max(int64(d), 0), longest))
}

// Latency is a distribution of durations, in µs.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	P9999 float64 `json:"p9999_us"`
	Max   float64 `json:"max_us"`
}

// latencyOf sums histograms up; nil when they hold nothing.
func latencyOf(parts []histogram) *Latency {
	sum := newHistogram()
	for _, p := range parts {
		if p.Histogram != nil {
			sum.Merge(p.Histogram)
		}
	}
	if sum.TotalCount() == 0 {
		return nil
	}
	at := func(percentile float64) float64 { return microseconds(sum.ValueAtPercentile(percentile)) }
	return &Latency{
		Count: sum.TotalCount(),
		Mean:  sum.Mean() / float64(time.Microsecond),
		P50:   at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
		Max: microseconds(sum.Max()),
	}
}

func microseconds(ns int64) float64 { return float64(ns) / float64(time.Microsecond) }
