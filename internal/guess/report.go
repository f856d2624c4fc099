package guess

import (
	"log/slog"
	"sync"
	"time"
)

// Report logs refusals: one warning for each place and second. Its methods may
// be called concurrently.
type Report struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	second int64      // since 1970
	told   map[string]bool
}

// maxTold bounds the places of one second that are told.
const maxTold = 20

// NewReport makes a report to log.
func NewReport(log *slog.Logger) *Report { return &Report{log: log, told: make(map[string]bool)} }

// Refused notes that somebody was refused, with what there is to say about it.
func (r *Report) Refused(what, place string, attrs ...slog.Attr) {
	if !r.due(place, time.Now().Unix()) {
		return
	}
	args := []any{slog.String("from", place)}
	for _, a := range attrs {
		args = append(args, a)
	}
	r.log.Warn(what, args...)
}

func (r *Report) due(place string, second int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if second != r.second {
		r.second = second
		clear(r.told)
	}
	if r.told[place] || len(r.told) >= maxTold {
		return false
	}
	r.told[place] = true
	return true
}
