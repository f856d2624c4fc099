package table

import (
	"context"
	"errors"
	"net/http"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// measurer is what a row does.
type measurer func(ctx context.Context, d *testbed.Daemon, s scale) (values, error)

// idleTopics creates topics over one HTTP connection and watches the daemon do
// nothing. Memory is over that of the empty daemon.
func idleTopics(topics, channels int) measurer {
	return func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		empty, err := loadgen.UsageOf(d.PID)
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := d.CreateTopics(ctx, 0, s.count(topics), channels); err != nil {
			return nil, err
		}
		v := values{topicRate: float64(s.count(topics)) / time.Since(begin).Seconds()}
		return v, v.idle(ctx, d, s, empty)
	}
}

// idleConsumers connects consumers to each of many channels.
func idleConsumers(each, channels int) measurer {
	return func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		empty, err := loadgen.UsageOf(d.PID)
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		for i := range s.count(channels) {
			idle, err := loadgen.OpenIdle(ctx, d.Target, testbed.TopicName(i), "c0", each)
			if err != nil {
				return nil, err
			}
			defer idle.Close()
		}
		v := values{connectRate: float64(s.count(channels)*each) / time.Since(begin).Seconds()}
		return v, v.idle(ctx, d, s, empty)
	}
}

// deferred publishes messages that are due long after the measurement.
func deferred(messages int) measurer {
	return func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		if err := d.CreateTopics(ctx, 0, 1, 1); err != nil {
			return nil, err
		}
		empty, err := loadgen.UsageOf(d.PID)
		if err != nil {
			return nil, err
		}
		v, err := load(ctx, d, loadgen.Load{
			Topic: testbed.TopicName(0), Window: 500, Defer: 50 * time.Minute, Measure: loadgen.Amount{Messages: s.count(messages)},
		})
		if err != nil {
			return nil, err
		}
		full, err := loadgen.UsageOf(d.PID)
		v[rss] = mebibytes(full.RSS - empty.RSS)
		return v, err
	}
}

// stats asks for the statistics of many channels, as an administration page or
// a collector does, while nothing goes on and while messages flow.
func stats(topics, channels int) measurer {
	return func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		if err := d.CreateTopics(ctx, 0, s.count(topics), channels); err != nil {
			return nil, err
		}
		idle, err := statsTime(ctx, d)
		if err != nil {
			return nil, err
		}
		flowing, cancel := context.WithCancel(ctx)
		defer cancel()
		begun, ended := make(chan struct{}, 1), make(chan error, 1)
		go func() {
			l := loadgen.Load{Batch: 50, Window: 100, Rate: 50_000, Channels: 1, Measure: loadgen.Amount{Duration: time.Hour}}
			_, err := loadgen.Run(flowing, d.Target, l, func(p loadgen.Snapshot) {
				select {
				case begun <- struct{}{}:
				default:
				}
			})
			ended <- err
		}()
		select {
		case <-begun:
		case err := <-ended:
			return nil, errors.Join(err, ctx.Err())
		}
		under, err := statsTime(ctx, d)
		cancel()
		return values{statsIdle: idle, statsUnder: under}, errors.Join(err, <-ended)
	}
}

// statsTime is the median time of an answer in ms.
func statsTime(ctx context.Context, d *testbed.Daemon) (float64, error) {
	const often = 21
	var times []float64
	for range often {
		begin := time.Now()
		if _, err := d.Do(ctx, http.MethodGet, "/stats?format=json"); err != nil {
			return 0, err
		}
		times = append(times, milliseconds(time.Since(begin)))
	}
	return *loadgen.Median(times), nil
}

// startUp fills a daemon and starts it again.
func startUp(topics, channels, messages int) measurer {
	return func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		if err := d.CreateTopics(ctx, 0, s.count(topics), channels); err != nil {
			return nil, err
		}
		for i := range s.count(topics) {
			l := loadgen.Load{Topic: testbed.TopicName(i), Batch: 200, Window: 5, Measure: loadgen.Amount{Messages: messages}}
			if _, err := loadgen.Run(ctx, d.Target, l, nil); err != nil {
				return nil, err
			}
		}
		again, err := d.Restart(ctx)
		if err != nil {
			return nil, err
		}
		defer again.Kill()
		usage, err := loadgen.UsageOf(again.PID)
		return values{startDuration: milliseconds(again.Started), rss: mebibytes(usage.RSS)}, err
	}
}

// idle adds what a daemon uses while nothing goes on.
func (v values) idle(ctx context.Context, d *testbed.Daemon, s scale, empty loadgen.Usage) error {
	before, err := loadgen.UsageOf(d.PID)
	if err != nil {
		return err
	}
	watch := time.NewTimer(s.idle)
	defer watch.Stop()
	select {
	case <-watch.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := loadgen.UsageOf(d.PID)
	v[rss] = mebibytes(after.RSS - empty.RSS)
	v[idleCPU] = (after.CPU - before.CPU) / s.idle.Seconds() * 100
	return err
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
