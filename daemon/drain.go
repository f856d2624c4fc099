package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"qmq/broker"
	"qmq/cluster"
)

const (
	// lookDrained is how often it is looked whether a node that is drained is empty; it
	// is when it was so twice, for what was published just before has come by then.
	lookDrained = 250 * time.Millisecond
	// yieldEvery is how often leaderships that came back meanwhile are given away.
	yieldEvery = 5 * time.Second
)

// drain empties a node before it stops. While it does there is a goroutine. Its methods
// may be called concurrently.
type drain struct {
	broker *broker.Broker
	set    *cluster.Set // nil: the node is in none
	within time.Duration
	log    *slog.Logger

	over chan struct{} // closed when the node is to stop

	mu    sync.Mutex // guards what follows; held across no look
	ended bool       // over is closed, or the node stops for another reason
	until time.Time  // when it is over at the latest; zero: the node is not drained
	stop  context.CancelFunc
	done  sync.WaitGroup // of the goroutines
}

func newDrain(b *broker.Broker, set *cluster.Set, within time.Duration, log *slog.Logger) *drain {
	return &drain{broker: b, set: set, within: within, log: log, over: make(chan struct{})}
}

// Begin is part of api.Drain.
func (d *drain) Begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || !d.until.IsZero() {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	d.until, d.stop = time.Now().Add(d.within), stop
	d.broker.SetDraining(true)
	if d.set != nil {
		d.set.SetDraining(true)
	}
	d.log.Info("draining: publishes are refused, and the node stops when consumers have emptied it", slog.Duration("at_most", d.within))
	until := d.until
	d.done.Go(func() { d.run(ctx, until) })
	if d.set != nil {
		d.done.Go(func() { d.yield(ctx) })
	}
}

// End is part of api.Drain.
func (d *drain) End() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return false
	}
	if d.until.IsZero() {
		return true
	}
	d.stop()
	d.until = time.Time{}
	d.broker.SetDraining(false)
	if d.set != nil {
		d.set.SetDraining(false)
	}
	d.log.Info("not draining any more: publishes are taken again")
	return true
}

// Until is part of api.Drain.
func (d *drain) Until() (until time.Time, draining bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.until, !d.until.IsZero()
}

// close ends the goroutines: the node stops. Publishes stay refused if they are.
func (d *drain) close() {
	d.mu.Lock()
	d.ended = true
	if d.stop != nil {
		d.stop()
	}
	d.mu.Unlock()
	d.done.Wait()
}

// run looks until the node is empty or the time is over.
func (d *drain) run(ctx context.Context, until time.Time) {
	ticker := time.NewTicker(lookDrained)
	defer ticker.Stop()
	for empty := 0; ; {
		awaited, left := d.broker.Waiting()
		if empty++; len(awaited) > 0 {
			empty = 0
		}
		switch {
		case empty >= 2:
			d.finish(ctx, "drained: no consumer of this node has anything to wait for", left)
			return
		case !time.Now().Before(until):
			d.finish(ctx, "draining took too long: the node stops with messages that consumers have not finished", append(awaited, left...))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// finish has the node stop, unless somebody was faster to end the draining.
func (d *drain) finish(ctx context.Context, text string, kept []broker.Waiting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil || d.ended {
		return
	}
	d.ended = true
	d.log.Info(text, slog.Int("left_in", len(kept)))
	for _, w := range kept {
		why := w.Left
		if why == "" {
			why = "not finished in time"
		}
		d.log.Info("stays on this node", slog.String("topic", w.Topic), slog.String("channel", w.Channel), slog.String("why", why),
			slog.Int64("depth", w.Depth), slog.Int("in_flight", w.InFlight), slog.Int("deferred", w.Deferred), slog.Int("dead_lettering", w.DeadLettering), slog.Uint64("retained", w.Retained))
	}
	close(d.over)
}

// yield gives leaderships of replicated topics away, again and again: one may come back
// when the one who took it is lost.
func (d *drain) yield(ctx context.Context) {
	ticker := time.NewTicker(yieldEvery)
	defer ticker.Stop()
	for {
		d.set.Yield()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
