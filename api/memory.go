package api

import (
	"math"
	"runtime/metrics"
)

// memoryStats are the figures of the Go heap, in the order of the JSON keys
// and of the text.
type memoryStats struct {
	HeapObjects       uint64 `json:"heap_objects"`
	HeapIdleBytes     uint64 `json:"heap_idle_bytes"`
	HeapInUseBytes    uint64 `json:"heap_in_use_bytes"`
	HeapReleasedBytes uint64 `json:"heap_released_bytes"`
	GCPauseUsec100    uint64 `json:"gc_pause_usec_100"`
	GCPauseUsec99     uint64 `json:"gc_pause_usec_99"`
	GCPauseUsec95     uint64 `json:"gc_pause_usec_95"`
	NextGCBytes       uint64 `json:"next_gc_bytes"`
	GCTotalRuns       uint64 `json:"gc_total_runs"`
}

// readMemory reads the figures, without stopping the world for them.
func readMemory() *memoryStats {
	const (
		objects = iota
		free
		released
		live
		unused
		goal
		runs
		pauses
	)
	s := [...]metrics.Sample{
		objects:  {Name: "/gc/heap/objects:objects"},
		free:     {Name: "/memory/classes/heap/free:bytes"},
		released: {Name: "/memory/classes/heap/released:bytes"},
		live:     {Name: "/memory/classes/heap/objects:bytes"},
		unused:   {Name: "/memory/classes/heap/unused:bytes"},
		goal:     {Name: "/gc/heap/goal:bytes"},
		runs:     {Name: "/gc/cycles/total:gc-cycles"},
		pauses:   {Name: "/sched/pauses/total/gc:seconds"},
	}
	metrics.Read(s[:])
	number := func(i int) uint64 {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a runtime that lacks it
		}
		return s[i].Value.Uint64()
	}
	m := &memoryStats{
		HeapObjects:       number(objects),
		HeapIdleBytes:     number(free) + number(released),
		HeapInUseBytes:    number(live) + number(unused),
		HeapReleasedBytes: number(released),
		NextGCBytes:       number(goal),
		GCTotalRuns:       number(runs),
	}
	if s[pauses].Value.Kind() == metrics.KindFloat64Histogram {
		h := s[pauses].Value.Float64Histogram()
		m.GCPauseUsec100 = pauseQuantile(h, 1)
		m.GCPauseUsec99 = pauseQuantile(h, 0.99)
		m.GCPauseUsec95 = pauseQuantile(h, 0.95)
	}
	return m
}

// pauseQuantile is the q-quantile of a histogram of seconds, in microseconds: the
// upper end of the bucket that it lies in, or the lower where that is open.
func pauseQuantile(h *metrics.Float64Histogram, q float64) uint64 {
	var total uint64
	for _, n := range h.Counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(total)))
	for i, n := range h.Counts {
		if rank > n {
			rank -= n
			continue
		}
		edge := h.Buckets[i+1]
		if math.IsInf(edge, 1) {
			edge = h.Buckets[i]
		}
		return uint64(edge * 1e6)
	}
	return 0
}
