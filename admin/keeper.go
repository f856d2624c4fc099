package admin

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/admin/past"
)

// maxKept is what the files of the history may take, in bytes.
const maxKept = 1 << 30

// keptSpan is a stretch of kept history: so many minutes, in steps of so many.
type keptSpan struct{ minutes, step int }

var keptSpans = map[string]keptSpan{"6h": {6 * 60, 1}, "24h": {24 * 60, 5}, "7d": {7 * 24 * 60, 30}}

// keeper writes each minute of history to disk. Its goroutine ends with stop; without a
// directory there is none.
type keeper struct {
	collector *collector
	log       *slog.Logger
	past      *past.Keeper // nil: nothing is kept; its writer is the goroutine
	full      bool         // it was told that there is no room
	stopping  chan struct{}
	stop      func()
	ended     chan struct{}
}

// startKeeper keeps history in a directory; "" keeps none.
func startKeeper(c *collector, dir string, log *slog.Logger) (*keeper, error) {
	k := &keeper{collector: c, log: log, stopping: make(chan struct{}), ended: make(chan struct{})}
	k.stop = sync.OnceFunc(func() { close(k.stopping); <-k.ended })
	if dir == "" {
		close(k.ended)
		return k, nil
	}
	var err error
	if k.past, err = past.Open(dir, maxKept, time.Now()); err != nil {
		return nil, err
	}
	go k.run()
	return k, nil
}

func (k *keeper) run() {
	defer close(k.ended)
	swept := time.Now()
	for {
		now := time.Now()
		// Some seconds after the minute what belongs to it has come.
		next := time.NewTimer(now.Truncate(time.Minute).Add(time.Minute + 12*time.Second).Sub(now))
		select {
		case <-next.C:
		case <-k.stopping:
			next.Stop()
			return
		}
		k.keep(time.Now().Add(-12*time.Second).Unix()/60 - 1)
		if time.Since(swept) > 24*time.Hour {
			swept = time.Now()
			if err := k.past.Sweep(swept); err != nil {
				k.log.Error("old history not removed", "error", err)
			}
		}
	}
}

// keep writes a minute. What was never anything but 0 has no file.
func (k *keeper) keep(minute int64) {
	var list []cluster.Minute
	k.collector.read(func(c *cluster.Cluster) { list = c.Minutes(minute) })
	var failed error
	for i := range list {
		m := &list[i]
		if idle(m.Values) && !k.past.Keeps(m.Subject...) {
			continue
		}
		if err := k.past.Write(minute, m.Values, m.Subject...); err != nil {
			failed = err
			if !errors.Is(err, past.ErrFull) {
				break // the others will not be written either
			}
		}
	}
	switch {
	case failed == nil:
		k.full = false
	case !errors.Is(failed, past.ErrFull):
		k.log.Error("history not kept", "error", failed)
	case !k.full:
		k.full = true
		k.log.Warn("history not kept of all topics and channels", "error", failed)
	}
}

func idle(values []float32) bool {
	for _, v := range values {
		if v != 0 && v == v {
			return false
		}
	}
	return true
}

// view is what is kept of what a view is about; nil if there is no such thing.
func (k *keeper) view(v cluster.View, s keptSpan) (answer *cluster.HistoryView, err error) {
	var subject cluster.Subject
	var names []string
	var end int64
	k.collector.read(func(c *cluster.Cluster) {
		subject, names = c.SubjectOf(v)
		end = c.UpdatedAt().Unix()/60 - 1
	})
	if subject == nil {
		return nil, nil
	}
	rows, err := k.past.Read(end, s.minutes, len(names), subject...)
	if err != nil {
		return nil, err
	}
	k.collector.read(func(c *cluster.Cluster) { answer = c.PastView(v, end, s.step, names, rows) })
	return answer, nil
}
