package loadgen

import "time"

// schedule says when the commands of a phase are due at a fixed rate: the
// publishers take turns. It is read only.
type schedule struct {
	start      time.Time
	every      float64 // ns between commands of all publishers
	publishers uint64
	batch      uint64
	first      []uint64 // by publisher, the number of the first message of the phase
	deferred   time.Duration
}

// newSchedule is of rate messages a second.
func newSchedule(start time.Time, rate float64, batch int, first []uint64, deferred time.Duration) *schedule {
	return &schedule{
		start:      start,
		every:      float64(batch) / rate * float64(time.Second),
		publishers: uint64(len(first)),
		batch:      uint64(batch),
		first:      first,
		deferred:   deferred,
	}
}

// due is when a publisher's command k of the phase is to be sent.
func (s *schedule) due(publisher uint32, k uint64) time.Time {
	return s.start.Add(time.Duration(float64(k*s.publishers+uint64(publisher)) * s.every))
}

// deliverable is when a message may arrive at the earliest; ok is false when
// it is of an earlier phase. All messages of a command are due with it.
func (s *schedule) deliverable(publisher uint32, number uint64) (at time.Time, ok bool) {
	if number < s.first[publisher] {
		return time.Time{}, false
	}
	return s.due(publisher, (number-s.first[publisher])/s.batch).Add(s.deferred), true
}
