package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Backlog is a load whose publishing and consuming are measured in turn, while
// as many messages as wanted stand in its channels in between. Its calls are
// made one after the other.
type Backlog struct {
	run   *run
	ended context.Context // done with a cause when a consumer failed
}

// OpenBacklog connects. The load's amounts and rate are not used. When ctx is
// done the backlog is of no more use.
func OpenBacklog(ctx context.Context, t Target, l Load) (*Backlog, error) {
	l.Backlog, l.Warmup, l.Measure = true, Amount{}, Amount{Messages: 1}
	r, err := newRun(t, l, nil)
	if err != nil {
		return nil, err
	}
	b := &Backlog{run: r}
	b.ended, r.fail = context.WithCancelCause(ctx)
	if err := r.connect(ctx); err != nil {
		r.close()
		return nil, err
	}
	return b, nil
}

// Publish adds messages, of which the last batches may be more than asked for,
// and measures it.
func (b *Backlog) Publish(ctx context.Context, messages int) (*Result, error) {
	b.run.load.Backlog = false // the result is that of publishing
	return b.measure(ctx, func(ctx context.Context) error {
		return b.run.publishAll(ctx, "backlog", Amount{Messages: messages}, nil)
	})
}

// Consume takes messages from the front until no more than left stand in any
// channel, and measures it. What comes until the server has read that no more
// is wanted comes in addition.
func (b *Backlog) Consume(ctx context.Context, left int) (*Result, error) {
	b.run.load.Backlog = true
	return b.measure(ctx, func(ctx context.Context) error {
		return errors.Join(b.run.setReady(b.run.load.Ready), b.run.awaitBacklog(ctx, int64(left)), b.run.setReady(0))
	})
}

// measure does a part of the load. An interruption is an error.
func (b *Backlog) measure(ctx context.Context, part func(ctx context.Context) error) (*Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ended, func() { cancel(context.Cause(b.ended)) })()
	m := b.run.begin()
	if err := part(ctx); err != nil {
		if errors.Is(err, errEnded) {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	result := b.run.end(m)
	for _, l := range b.run.ledgers {
		result.Altered += l.altered.Load()
	}
	return result, nil
}

// Close ends the connections and deletes the topic, unless it was given.
func (b *Backlog) Close() error {
	b.run.fail(nil)
	b.run.close()
	if b.run.load.Topic == "" {
		return b.run.leave()
	}
	return nil
}

// awaitBacklog returns when no more than left messages stand in any channel.
func (r *run) awaitBacklog(ctx context.Context, left int64) error {
	timeout := time.NewTimer(r.load.IdleTimeout)
	defer timeout.Stop()
	for r.stands() > left {
		select {
		case <-r.more:
			timeout.Reset(r.load.IdleTimeout)
		case <-timeout.C:
			if !r.hasCome() {
				return fmt.Errorf("loadgen: %d messages do not come", r.stands()-left)
			}
			timeout.Reset(r.load.IdleTimeout)
		case <-ctx.Done():
			return r.ended(ctx)
		}
	}
	return nil
}

// stands counts the messages of the channel that has most of them.
func (r *run) stands() (most int64) {
	acked := r.acked()
	for _, l := range r.ledgers {
		most = max(most, acked-l.delivered.Load())
	}
	return most
}
