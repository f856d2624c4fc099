package set

import (
	"context"
	"fmt"
	"os"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// state is what a set has before a fault.
type state struct {
	topics   int // with a channel each
	waiting  int // messages in the channel of one topic
	deferred int // messages of another one
}

// fill brings it about. The topics are called as testbed calls them: the first one has
// the waiting messages, the second one the deferred ones.
func (st state) fill(ctx context.Context, set *testbed.Set, s scale) error {
	if st.topics == 0 {
		return nil
	}
	if err := set.Members[0].CreateTopics(ctx, 0, max(2, s.count(st.topics)), 1); err != nil {
		return err
	}
	if st.waiting == 0 {
		return nil
	}
	if err := put(ctx, set, testbed.TopicName(0), loadgen.Load{Batch: 500, Window: 16, Measure: loadgen.Amount{Messages: s.count(st.waiting)}}); err != nil {
		return err
	}
	return put(ctx, set, testbed.TopicName(1), later(s.count(st.deferred)))
}

// later is a load of messages that are due long after all is measured.
func later(messages int) loadgen.Load {
	return loadgen.Load{Window: 500, Defer: 50 * time.Minute, Measure: loadgen.Amount{Messages: messages}}
}

// put publishes at the leader of a topic, and waits until all have it.
func put(ctx context.Context, set *testbed.Set, topic string, l loadgen.Load) error {
	leader, err := set.Leader(ctx, topic)
	if err != nil {
		return err
	}
	l.Topic = topic
	if _, err := loadgen.Run(ctx, set.Members[leader].Target, l, nil); err != nil {
		return err
	}
	return set.AwaitReady(ctx)
}

// idle watches members that have nothing to do.
func idle() row {
	return row{
		name: "idle, 12 shards",
		alone: func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
			return watchIdle(ctx, s, d)
		},
		onSet: func(ctx context.Context, set *testbed.Set, s scale) (values, error) {
			return watchIdle(ctx, s, set.Members...)
		},
		bars: []Bar{{Figure: idleCPU, Value: 3}, {Figure: rss, Above: 20}},
	}
}

func watchIdle(ctx context.Context, s scale, daemons ...*testbed.Daemon) (values, error) {
	before, err := usageOf(daemons)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, s.idle); err != nil {
		return nil, err
	}
	after, err := usageOf(daemons)
	if err != nil {
		return nil, err
	}
	v := values{}
	for i := range daemons {
		v.add(idleCPU, (after[i].CPU-before[i].CPU)/s.idle.Seconds()*100)
		v.add(rss, mebibytes(after[i].RSS))
	}
	return v, nil
}

func usageOf(daemons []*testbed.Daemon) (all []loadgen.Usage, err error) {
	for _, d := range daemons {
		usage, err := loadgen.UsageOf(d.PID)
		if err != nil {
			return nil, err
		}
		all = append(all, usage)
	}
	return all, nil
}

// deferred measures the memory of messages that are due much later.
func deferred() row {
	return row{
		name: "1,000,000 deferred messages",
		onSet: func(ctx context.Context, set *testbed.Set, s scale) (values, error) {
			topic := testbed.TopicName(0)
			leader, _, err := prepare(ctx, set, topic, "c0")
			if err != nil {
				return nil, err
			}
			// What as many messages take that are not deferred does not count: buffers, and
			// the newest entries of the log.
			l := later(s.count(1_000_000))
			l.Defer = 0
			if err := put(ctx, set, topic, l); err != nil {
				return nil, err
			}
			if err := pause(ctx, s.idle); err != nil {
				return nil, err
			}
			before, err := usageOf(set.Members)
			if err != nil {
				return nil, err
			}
			if err := put(ctx, set, topic, later(s.count(1_000_000))); err != nil {
				return nil, err
			}
			// What publishing took goes back to the system.
			if err := pause(ctx, s.idle); err != nil {
				return nil, err
			}
			after, err := usageOf(set.Members)
			if err != nil {
				return nil, err
			}
			v := values{}
			for i := range set.Members {
				name := followerRSS
				if i == leader {
					name = leaderRSS
				}
				v.add(name, mebibytes(after[i].RSS-before[i].RSS))
			}
			return v, nil
		},
		bars: []Bar{{Figure: leaderRSS, Value: 64}, {Figure: followerRSS, Value: 40}},
	}
}

// refill measures how a member whose disk is empty gets all there is, and what those
// who publish meanwhile notice.
func refill() row {
	return row{
		name: "refill of an empty member",
		onSet: func(ctx context.Context, set *testbed.Set, s scale) (values, error) {
			const body, probe = 1000, "probe"
			topic, messages := testbed.TopicName(0), s.count(4_000_000)
			if err := create(ctx, set.Members[0], topic, "c0"); err != nil {
				return nil, err
			}
			leader, target, err := prepare(ctx, set, probe, "")
			if err != nil {
				return nil, err
			}
			if err := put(ctx, set, topic, loadgen.Load{Batch: 200, Window: 16, Body: body, Measure: loadgen.Amount{Messages: messages}}); err != nil {
				return nil, err
			}
			all, err := set.Members[leader].Replica(ctx, topic)
			if err != nil {
				return nil, err
			}
			before, err := timed(ctx, target, probe, s.cap)
			if err != nil {
				return nil, err
			}
			wiped := (leader + 1) % len(set.Members)
			set.Members[wiped].Kill()
			if err := os.RemoveAll(set.Dir(wiped)); err != nil {
				return nil, err
			}
			meanwhile := make(chan result, 1)
			again, done := context.WithCancel(ctx)
			defer done()
			go func() {
				p, err := timed(again, target, probe, time.Hour)
				meanwhile <- result{p, err}
			}()
			begin := time.Now()
			if err := set.Start(ctx, wiped); err != nil {
				return nil, err
			}
			err = testbed.Await(ctx, "the wiped member to have all", func() bool {
				r, err := set.Members[wiped].Replica(ctx, topic)
				return err == nil && r.Applied >= all.Applied
			})
			took := time.Since(begin)
			done()
			m := <-meanwhile
			if err != nil || m.err != nil {
				return nil, fmt.Errorf("refill: %v, %w", err, m.err)
			}
			return values{refillRate: {float64(messages) * body / 1e6 / took.Seconds()}, p99: {before}, p99Refill: {m.p99}}, nil
		},
		bars: []Bar{{Figure: refillRate, Value: 180}},
	}
}

type result struct {
	p99 float64
	err error
}

// timed publishes at a rate, and is how long the 99th of 100 waited in µs.
func timed(ctx context.Context, t loadgen.Target, topic string, d time.Duration) (p99 float64, err error) {
	r, err := loadgen.Run(ctx, t, loadgen.Load{Topic: topic, Rate: 200, Measure: loadgen.Amount{Duration: d}}, nil)
	if err != nil {
		return 0, err
	}
	if r.Published == nil {
		return 0, fmt.Errorf("nothing was published in %s", d)
	}
	return r.Published.P99, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
