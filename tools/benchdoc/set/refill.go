package set

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// What an empty member is given, and who publishes meanwhile.
const (
	refillTopic = "topic-0"
	refillBody  = 1000
	refillBytes = 4_000_000_000
	probeTopic  = "probe"
)

// refill measures how a member whose disk is empty gets all there is, and what those
// who publish meanwhile notice.
func refill(name string, bars ...Bar) row {
	return row{name: name, onSet: measureRefill, bars: bars}
}

func measureRefill(ctx context.Context, set *testbed.Set, s scale) (values, error) {
	messages := s.count(cmp.Or(int(s.filled.Bytes), refillBytes) / refillBody)
	if err := create(ctx, set.Members[0], refillTopic, "c0"); err != nil {
		return nil, err
	}
	leader, target, err := prepare(ctx, set, probeTopic, "")
	if err != nil {
		return nil, err
	}
	if err := put(ctx, set, refillTopic, loadgen.Load{Batch: 200, Window: 16, Body: refillBody, Measure: loadgen.Amount{Messages: messages}}); err != nil {
		return nil, err
	}
	if err := set.Settle(); err != nil {
		return nil, err
	}
	before, err := probe(ctx, target, s.cap)
	if err != nil {
		return nil, err
	}
	wiped := (leader + 1) % len(set.Members)
	set.Members[wiped].Kill()
	gone, err := emptied(set, wiped, s.filled.Dir, messages*refillBody)
	if err != nil {
		return nil, err
	}
	defer gone()
	var took time.Duration
	meanwhile, err := probeMeanwhile(ctx, target, func() (err error) {
		took, err = filled(ctx, set, leader, wiped)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("refill: %w", err)
	}
	return values{
		refillRate: {float64(messages) * refillBody / 1e6 / took.Seconds()},
		p50:        {before.P50}, p99: {before.P99}, p50Refill: {meanwhile.P50}, p99Refill: {meanwhile.P99}, p99Times: {meanwhile.P99 / before.P99},
	}, nil
}

// filled starts a member that has nothing, and is how long it takes until it has all.
func filled(ctx context.Context, set *testbed.Set, leader, wiped int) (took time.Duration, err error) {
	all, err := set.Members[leader].Replica(ctx, refillTopic)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := set.Start(ctx, wiped); err != nil {
		return 0, err
	}
	err = testbed.Await(ctx, "the wiped member to have all", func() bool {
		r, err := set.Members[wiped].Replica(ctx, refillTopic)
		return err == nil && r.Applied >= all.Applied
	})
	return time.Since(began), err
}

// emptied gives a member that is not at work an empty disk for so many bytes: a directory
// in dir, or, where that is empty, the place of its own, from which all is set aside and
// nothing removed. Where a disk is told what is free (mounted with discard) it does little
// else for a second or two after gigabytes were removed: a node that is given an empty disk
// does not go through that. gone ends the member, and removes what it has in dir.
func emptied(set *testbed.Set, member int, dir string, bytes int) (gone func(), err error) {
	if dir == "" {
		return func() {}, os.Rename(set.Dir(member), set.Dir(member)+".former")
	}
	if dir, err = os.MkdirTemp(dir, "benchdoc-"); err != nil {
		return nil, err
	}
	if err := testbed.TouchMemory(dir, bytes); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	set.Place(member, dir)
	return func() {
		set.Members[member].Kill()
		os.RemoveAll(dir)
	}, nil
}

// probe publishes at a rate, and is how long that waited in µs, since a message was due. A
// publisher waits for each OK: one alone gets ever further behind where an OK takes more
// than 5 ms, and would tell of that, not of how long an OK takes.
func probe(ctx context.Context, t loadgen.Target, d time.Duration) (*loadgen.Latency, error) {
	r, err := loadgen.Run(ctx, t, loadgen.Load{Topic: probeTopic, Publishers: 16, Rate: 200, Measure: loadgen.Amount{Duration: d}}, nil)
	if err != nil {
		return nil, err
	}
	if r.Published == nil {
		return nil, fmt.Errorf("nothing was published in %s", d)
	}
	return r.Published, nil
}

// probeMeanwhile does something and probes for as long.
func probeMeanwhile(ctx context.Context, t loadgen.Target, do func() error) (l *loadgen.Latency, err error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	ended := make(chan error, 1)
	go func() {
		var err error
		l, err = probe(ctx, t, time.Hour)
		ended <- err
	}()
	err = do()
	done()
	if probed := <-ended; err == nil {
		err = probed
	}
	return l, err
}
