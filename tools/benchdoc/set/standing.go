package set

import (
	"context"
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
