package loadgen

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// phase publishes an amount and waits until all of it is delivered.
func (r *run) phase(ctx context.Context, name string, a Amount, s *schedule) error {
	if a == (Amount{}) {
		return nil
	}
	if err := r.publishAll(ctx, name, a, s); err != nil {
		return err
	}
	return r.awaitDeliveries(ctx, name)
}

// ErrSilent is why a run failed whose publishes were not answered for as long
// as the load's timeout.
var ErrSilent = errors.New("loadgen: the server does not answer")

// publishAll lets the publishers publish an amount. When ctx is done they
// wait for the answers under way and the error is errEnded.
func (r *run) publishAll(ctx context.Context, name string, a Amount, s *schedule) error {
	stop := new(atomic.Bool)
	halt := func() { stop.Store(true) }
	if a.Duration > 0 {
		defer time.AfterFunc(a.Duration, halt).Stop()
	}
	defer context.AfterFunc(ctx, halt)()
	report := r.reporter(name)
	defer report.Stop()
	done := make(chan error, len(r.publishers))
	commands := r.load.commands(a)
	for _, p := range r.publishers {
		go func() { done <- p.publish(commands, stop, s) }()
	}
	timeout := time.NewTimer(r.load.IdleTimeout)
	defer timeout.Stop()
	acked := r.acked()
	for waiting := len(r.publishers); waiting > 0; {
		select {
		case err := <-done:
			waiting--
			if err != nil {
				r.fail(err)
			}
		case <-report.C:
			report.tell()
		case <-timeout.C:
			now := r.acked()
			if now == acked && r.unanswered() {
				r.fail(ErrSilent)
				r.hangUp()
			}
			acked = now
			timeout.Reset(r.load.IdleTimeout)
		}
	}
	r.answered = time.Now()
	return r.ended(ctx)
}

// unanswered tells whether a publisher waits for an answer.
func (r *run) unanswered() bool {
	for _, p := range r.publishers {
		if p.sent.Load() > p.acked.Load() {
			return true
		}
	}
	return false
}

// hangUp ends publishers that wait.
func (r *run) hangUp() {
	for _, p := range r.publishers {
		p.conn.Close()
	}
}

// awaitDeliveries returns when all that was OK'd has come to every channel, or
// when nothing has come for as long as the load's timeout.
func (r *run) awaitDeliveries(ctx context.Context, name string) error {
	report := r.reporter(name)
	defer report.Stop()
	timeout := time.NewTimer(r.load.IdleTimeout + r.load.Defer)
	defer timeout.Stop()
	for !r.complete() {
		select {
		case <-r.more:
			timeout.Reset(r.load.IdleTimeout + r.load.Defer)
		case <-report.C:
			report.tell()
		case <-timeout.C:
			if !r.hasCome() {
				return r.ended(ctx)
			}
			timeout.Reset(r.load.IdleTimeout + r.load.Defer)
		case <-ctx.Done():
			return r.ended(ctx)
		}
	}
	return r.ended(ctx)
}

// hasCome tells whether there was a delivery that nobody has heard of yet: where this machine
// stood still for as long as the timeout, what came meanwhile is not silence.
func (r *run) hasCome() bool {
	select {
	case <-r.more:
		return true
	default:
		return false
	}
}

// complete tells whether every channel has got what was OK'd. Counts suffice:
// what is counted is different messages, and only few more than the OK'd ones
// can have been sent.
func (r *run) complete() bool {
	acked := r.acked()
	for _, l := range r.ledgers {
		if l.delivered.Load() < acked {
			return false
		}
	}
	return true
}

// ended is nil while ctx is not done, errEnded when the caller ended it, and
// else why the run failed.
func (r *run) ended(ctx context.Context) error {
	switch err := context.Cause(ctx); err {
	case nil:
		return nil
	case context.Canceled, context.DeadlineExceeded:
		return errEnded
	default:
		return err
	}
}

// acked counts messages that were OK'd, of all publishers.
func (r *run) acked() (n int64) {
	for _, p := range r.publishers {
		n += int64(p.acked.Load())
	}
	return n
}

// delivered counts the different messages that came, of all channels.
func (r *run) delivered() (n int64) {
	for _, l := range r.ledgers {
		n += l.delivered.Load()
	}
	return n
}

// reporter tells the progress of a phase at its ticks.
type reporter struct {
	*time.Ticker
	r                *run
	phase            string
	start            time.Time
	acked, delivered int64 // before the phase
}

func (r *run) reporter(phase string) *reporter {
	const often = 500 * time.Millisecond
	return &reporter{time.NewTicker(often), r, phase, time.Now(), r.acked(), r.delivered()}
}

func (p *reporter) tell() {
	if p.r.progress != nil {
		p.r.progress(Snapshot{p.phase, time.Since(p.start), p.r.acked() - p.acked, p.r.delivered() - p.delivered})
	}
}
