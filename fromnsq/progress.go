package fromnsq

import (
	"context"
	"log/slog"
	"time"
)

// progress tells the log every now and then how far a part of the import is.
type progress struct {
	log    *slog.Logger
	text   string
	all    int64 // bytes
	done   int64
	calls  int
	begun  time.Time
	toldAt time.Time
}

// progressPause is how long nothing is told.
const progressPause = 2 * time.Second

func newProgress(log *slog.Logger, text string, all int64) *progress {
	now := time.Now()
	return &progress{log: log, text: text, all: all, begun: now, toldAt: now}
}

// advance counts what was done of late. The error is that of a context that has ended.
func (p *progress) advance(ctx context.Context, bytes int64) error {
	p.done += bytes
	if p.calls++; bytes < 1<<16 && p.calls%contextEvery != 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if now := time.Now(); now.Sub(p.toldAt) >= progressPause {
		p.toldAt = now
		rate := float64(p.done) / now.Sub(p.begun).Seconds()
		p.log.Info("import: "+p.text, slog.Int64("bytes", p.done), slog.Int64("of", max(p.all, p.done)), slog.Int("percent", int(100*p.done/max(p.all, p.done, 1))),
			slog.Duration("left", time.Duration(float64(max(p.all-p.done, 0))/max(rate, 1)*float64(time.Second)).Round(time.Second)))
	}
	return nil
}
