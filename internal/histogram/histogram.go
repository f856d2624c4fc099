// Package histogram counts durations in exponential buckets, as Prometheus' native
// histograms have them. It takes no lock, reads no clock and starts no goroutine.
package histogram

import (
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	// Schema is the resolution, as Prometheus numbers it: each bucket ends at 2^(1/4)
	// times the end of the one before.
	Schema = 2
	// PerOctave is how many buckets there are between a duration and the double of it.
	PerOctave = 1 << Schema
	// Shortest and Longest are the exponents of 2 of the seconds between which durations
	// are told apart: from about a microsecond to about a year.
	Shortest, Longest = -20, 25
	// Buckets is how many there are: the first for all that is not longer than the shortest,
	// the last for all that is longer than the longest.
	Buckets = (Longest-Shortest)*PerOctave + 2
)

// Histogram counts durations. The zero value has none, and takes little memory. Its
// methods may be called concurrently.
type Histogram struct {
	buckets atomic.Pointer[[Buckets]atomic.Uint64] // nil while there are none
	sum     atomic.Uint64                          // seconds, the bits of a float64
}

// Add counts a duration in ns. A negative one counts as 0, one of more than a year as a
// year.
func (h *Histogram) Add(ns int64) {
	ns = clamp(ns)
	h.add(bucketOf(ns), 1, ns)
}

// year is the longest duration that is counted, in ns, and together how many of them are
// summed up at most before the histogram is told.
const (
	year     = 365 * 24 * 3600 * 1e9
	together = 256
)

func clamp(ns int64) int64 { return min(max(ns, 0), year) }

func (h *Histogram) add(bucket uint8, n uint64, sum int64) {
	b := h.buckets.Load()
	if b == nil {
		b = new([Buckets]atomic.Uint64)
		if !h.buckets.CompareAndSwap(nil, b) {
			b = h.buckets.Load()
		}
	}
	b[bucket].Add(n)
	for seconds := float64(sum) / 1e9; ; {
		before := h.sum.Load()
		if h.sum.CompareAndSwap(before, math.Float64bits(math.Float64frombits(before)+seconds)) {
			return
		}
	}
}

// Snapshot is what a Histogram has counted, at about one moment.
type Snapshot struct {
	Counts [Buckets]uint64
	Count  uint64
	Sum    float64 // seconds
}

// AddTo adds what was counted to s, and says whether there was anything.
func (h *Histogram) AddTo(s *Snapshot) bool {
	b := h.buckets.Load()
	if b == nil {
		return false
	}
	for i := range b {
		n := b[i].Load()
		s.Counts[i] += n
		s.Count += n
	}
	s.Sum += math.Float64frombits(h.sum.Load())
	return true
}

// UpTo counts the durations of at most 2^exponent seconds.
func (s *Snapshot) UpTo(exponent int) (n uint64) {
	end := min(max((exponent-Shortest)*PerOctave, 0), Buckets-1)
	for _, c := range s.Counts[:end+1] {
		n += c
	}
	return n
}

// Run counts durations that come together, mostly alike, at less cost: it is for one
// goroutine, and tells the histogram when another bucket comes, and at Flush.
type Run struct {
	h           *Histogram
	above, upTo int64 // ns that the bucket is for
	bucket      uint8
	n           uint64
	sum         int64
}

// Begin makes a run for h.
func (h *Histogram) Begin() Run { return Run{h: h} }

// Add counts a duration in ns, as Histogram.Add does.
func (r *Run) Add(ns int64) {
	ns = clamp(ns)
	if ns <= r.above || ns > r.upTo || r.n == together {
		r.begin(ns)
	}
	r.n++
	r.sum += ns
}

// begin begins the bucket of a duration.
func (r *Run) begin(ns int64) {
	r.Flush()
	r.bucket = bucketOf(ns)
	r.above, r.upTo = -1, endsNs[r.bucket]
	if r.bucket > 0 {
		r.above = endsNs[r.bucket-1]
	}
}

// Flush tells the histogram what was counted.
func (r *Run) Flush() {
	if r.n > 0 {
		r.h.add(r.bucket, r.n, r.sum)
		r.n, r.sum = 0, 0
	}
}

// endsNs are where the buckets end, in whole ns.
var endsNs = func() (ends [Buckets]int64) {
	for i := range ends {
		ends[i] = math.MaxInt64
		if e := End(i) * 1e9; e < math.MaxInt64 {
			ends[i] = int64(e)
		}
	}
	return ends
}()

const (
	// unit is the exponent of 2 of the seconds that durations are counted in to find
	// their bucket, perNs how many units, times 2^64, a nanosecond is.
	unit  = -29
	perNs = 9903520314283042199 // 2^93 / 1e9
	// The parts of an octave begin above these, times 2^-63: 2^(1/4), 2^(1/2), 2^(3/4).
	quarter, half, threeQuarters = 0x9837f0518db8a96f, 0xb504f333f9de6484, 0xd744fccad69d6af4
)

// bucketOf is the bucket that a duration of ns counts in.
func bucketOf(ns int64) uint8 {
	if ns <= endsNs[0] {
		return 0
	}
	units, _ := bits.Mul64(uint64(ns), perNs)
	octave := bits.Len64(units) - 1
	part := 0
	switch m := units << (63 - octave); {
	case m >= threeQuarters:
		part = 3
	case m >= half:
		part = 2
	case m >= quarter:
		part = 1
	}
	b := min(max((octave+unit-Shortest)*PerOctave+part+1, 1), Buckets-1)
	switch { // the units are coarse for short durations
	case ns > endsNs[b]:
		b++
	case ns <= endsNs[b-1]:
		b--
	}
	return uint8(b)
}

// End is where a bucket ends, in seconds; that of the last is infinite.
func End(bucket int) float64 {
	if bucket == Buckets-1 {
		return math.Inf(1)
	}
	return math.Exp2(Shortest + float64(bucket)/PerOctave)
}
