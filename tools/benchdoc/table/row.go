package table

import (
	"context"
	"fmt"
	"strings"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// row is one comparison.
type row struct {
	name    string
	flags   []string // more than the defaults, for both
	nsqd    []string // for nsqd alone
	tls     bool     // both have a certificate
	measure func(ctx context.Context, d *testbed.Daemon, s scale) (values, error)
}

// values are the figures of one measurement, by name with unit.
type values map[string]float64

// Figures. More is better of those that are per second, less of the others.
const (
	rate          = "msg/s"
	serverCPU     = "server CPU µs/msg"
	generatorCPU  = "generator CPU µs/msg"
	p50           = "p50 µs"
	p99           = "p99 µs"
	p999          = "p99.9 µs"
	longest       = "max µs"
	sentLate      = "sent late p99 µs"
	lost          = "lost"
	altered       = "altered"
	rss           = "RSS MiB"
	idleCPU       = "idle CPU %"
	topicRate     = "topics/s"
	connectRate   = "connections/s"
	statsIdle     = "/stats idle ms"
	statsUnder    = "/stats under load ms"
	startDuration = "start ms"
)

func moreIsBetter(figure string) bool { return strings.HasSuffix(figure, "/s") }

// scale is how much of a row is done.
type scale struct {
	divide int           // counts by this
	cap    time.Duration // longest publishing of a load
	timed  time.Duration // length of a load at a rate
	idle   time.Duration // how long idleness is watched
	verify bool          // consume what was only published
}

var (
	fullScale  = scale{divide: 1, cap: 20 * time.Second, timed: 10 * time.Second, idle: 10 * time.Second}
	quickScale = scale{divide: 5, cap: 2 * time.Second, timed: 2 * time.Second, idle: time.Second}
)

// count is a scaled number of messages, topics or connections.
func (s scale) count(n int) int { return max(1, n/s.divide) }

// flow is a row that is a load.
func flow(name string, l loadgen.Load) row {
	return row{name: name, measure: func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		l := l
		l.Measure.Messages = s.count(l.Measure.Messages)
		l.Measure.Duration = s.cap
		l.Warmup = loadgen.Amount{Messages: l.Measure.Messages / 10, Duration: s.cap / 10}
		l.Verify = s.verify
		return load(ctx, d, l)
	}}
}

// timed is a row that is a load at a fixed rate.
func timed(name string, l loadgen.Load) row {
	return row{name: name, measure: func(ctx context.Context, d *testbed.Daemon, s scale) (values, error) {
		l := l
		l.Measure.Messages = int(l.Rate * s.timed.Seconds())
		l.Warmup.Messages = int(l.Rate)
		return load(ctx, d, l)
	}}
}

// load does a load and takes its figures. Messages lost or altered by a server
// are figures too.
func load(ctx context.Context, d *testbed.Daemon, l loadgen.Load) (values, error) {
	r, err := loadgen.Run(ctx, d.Target, l, nil)
	if err != nil {
		return nil, err
	}
	if r.Interrupted {
		return nil, ctx.Err()
	}
	if r.ServerCPU == nil {
		return nil, fmt.Errorf("the CPU time of process %d is not known", d.PID)
	}
	v := values{rate: r.Rate, serverCPU: *r.ServerCPU, generatorCPU: r.GeneratorCPU}
	if r.Checked > 0 {
		v[lost], v[altered] = float64(r.Lost), float64(r.Altered)
	}
	if r.Delivered != nil {
		v[p50], v[p99], v[p999], v[longest] = r.Delivered.P50, r.Delivered.P99, r.Delivered.P999, r.Delivered.Max
		v[sentLate] = r.Late.P99
	}
	return v, nil
}

// with adds flags to both daemons.
func (r row) with(flags ...string) row {
	r.flags = append(r.flags, flags...)
	return r
}

// nsqdWith adds flags to nsqd.
func (r row) nsqdWith(flags ...string) row {
	r.nsqd = append(r.nsqd, flags...)
	return r
}
