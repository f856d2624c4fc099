package set

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// row is one thing that is measured, on a set and, where it is compared, on an
// unreplicated qd.
type row struct {
	name  string
	flags []string // of the members, more than the defaults
	// alone is measured in turn with onSet; nil: it is compared with nothing.
	alone      func(ctx context.Context, d *testbed.Daemon, s scale) (values, error)
	aloneFlags []string
	// stream is measured in turn with onSet in the place of alone.
	stream func(ctx context.Context, servers *testbed.JetStream, s scale) (values, error)
	onSet  func(ctx context.Context, set *testbed.Set, s scale) (values, error)
	bars   []Bar
}

// Bar is what is asked of a figure: a rate must be at least so much, anything else at
// most.
type Bar struct {
	Figure string  `json:"figure"`
	Ratio  float64 `json:"ratio,omitempty"` // of the set to the unreplicated one; 0: not asked
	Above  float64 `json:"above,omitempty"` // what the set may have more; 0: not asked
	Value  float64 `json:"value,omitempty"` // of the set; 0: not asked
}

// values are the figures of one measurement, by name with unit. What is measured
// several times in one go has several.
type values map[string][]float64

func (v values) add(name string, n float64) { v[name] = append(v[name], n) }

// Figures.
const (
	rate         = "msg/s"
	allCPU       = "CPU of all µs/msg"
	leaderCPU    = "CPU of the leader µs/msg"
	generatorCPU = "CPU of the generator µs/msg"
	p50          = "publish p50 µs"
	p99          = "publish p99 µs"
	p50Refill    = "publish p50 µs meanwhile"
	p99Refill    = "publish p99 µs meanwhile"
	p99Times     = "publish p99 meanwhile, as a multiple"
	lost         = "lost"
	gap          = "gap ms"
	maxGap       = "longest gap ms"
	idleCPU      = "idle CPU %"
	rss          = "RSS MiB"
	leaderRSS    = "RSS of the leader, more MiB"
	followerRSS  = "RSS of a follower, more MiB"
	refillRate   = "MB/s"
)

// order is that of the figures of a row.
var order = []string{publishRate, publishCPU, publishGenerator, consumeRate, consumeCPU, consumeGenerator, rate, allCPU, leaderCPU, generatorCPU, refillRate, p50, p99, p50Refill, p99Refill, p99Times, gap, maxGap, idleCPU, rss, leaderRSS, followerRSS, lost}

func moreIsBetter(figure string) bool { return strings.HasSuffix(figure, "/s") }

// worst tells whether the worst of the runs counts, not the median.
func worst(figure string) bool { return figure == lost || figure == maxGap }

// scale is how much of a row is done.
type scale struct {
	divide int           // counts by this
	cap    time.Duration // longest publishing of a load
	warmup time.Duration
	idle   time.Duration // how long idleness is watched
	watch  time.Duration // how long after a fault
	faults int           // of a kind
	filled Filled

	touched int // bytes of free memory that are touched before a measurement
}

var (
	fullScale  = scale{divide: 1, cap: 6 * time.Second, warmup: 2 * time.Second, idle: 10 * time.Second, watch: 2500 * time.Millisecond, faults: 20, touched: 2 << 30}
	quickScale = scale{divide: 20, cap: 2 * time.Second, warmup: time.Second, idle: 2 * time.Second, watch: 1500 * time.Millisecond, faults: 3, touched: 1 << 30}
)

// count is a scaled number of messages or topics.
func (s scale) count(n int) int { return max(1, n/s.divide) }

// flow is a row that is a load, put on the leader of its topic and on an unreplicated
// qd.
func flow(name string, l loadgen.Load, bars ...Bar) row {
	return row{
		name: name,
		alone: func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
			return load(ctx, d.Target, l, s)
		},
		onSet: func(ctx context.Context, set *testbed.Set, s scale) (values, error) {
			_, target, err := prepare(ctx, set, "flow", "")
			if err != nil {
				return nil, err
			}
			l := l
			l.Topic = "flow"
			return load(ctx, target, l, s)
		},
		bars: bars,
	}
}

// load does a load and takes its figures.
func load(ctx context.Context, t loadgen.Target, l loadgen.Load, s scale) (values, error) {
	l.Measure.Duration, l.Warmup.Duration = s.cap, s.warmup
	r, err := loadgen.Run(ctx, t, l, nil)
	if err != nil {
		return nil, err
	}
	if r.Interrupted {
		return nil, ctx.Err()
	}
	if r.ServerCPU == nil {
		return nil, fmt.Errorf("the CPU time of process %d is not known", t.PID)
	}
	all := r.TogetherCPU
	if all == nil {
		all = r.ServerCPU
	}
	v := values{rate: {r.Rate}, allCPU: {*all}, leaderCPU: {*r.ServerCPU}, generatorCPU: {r.GeneratorCPU}}
	if r.Checked > 0 {
		v.add(lost, float64(r.Lost+r.Altered))
	}
	if r.Published != nil {
		v.add(p50, r.Published.P50)
		v.add(p99, r.Published.P99)
	}
	return v, nil
}

// prepare makes a topic, with a channel unless that is empty, and finds its leader, as
// a target whose CPU time is that of all.
func prepare(ctx context.Context, set *testbed.Set, topic, channel string) (leader int, t loadgen.Target, err error) {
	if err := create(ctx, set.Members[0], topic, channel); err != nil {
		return 0, t, err
	}
	leader, err = set.Leader(ctx, topic)
	if err != nil {
		return 0, t, err
	}
	t = set.Members[leader].Target
	for i, d := range set.Members {
		if i != leader {
			t.With = append(t.With, d.PID)
		}
	}
	return leader, t, nil
}

func create(ctx context.Context, d *testbed.Daemon, topic, channel string) error {
	paths := []string{"/topic/create?topic=" + topic}
	if channel != "" {
		paths = append(paths, "/channel/create?topic="+topic+"&channel="+channel)
	}
	for _, path := range paths {
		if _, err := d.Do(ctx, "POST", path); err != nil {
			return err
		}
	}
	return nil
}

// compared says whether something else is measured in turn.
func (r *row) compared() bool { return r.alone != nil || r.stream != nil }

// with adds flags to the members.
func (r row) with(flags ...string) row {
	r.flags = slices.Concat(r.flags, flags)
	return r
}

// aloneWith adds flags to the unreplicated qd, or lines to the configuration of JetStream.
func (r row) aloneWith(flags ...string) row {
	r.aloneFlags = slices.Concat(r.aloneFlags, flags)
	return r
}
