package growth

import (
	"context"
	"fmt"
	"regexp"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// experiment is how one or more series are measured together.
type experiment struct {
	series []Series // without curves
	xs     []int
	flags  []string // of the daemons, more than the defaults
	grows  bool     // all points are of one trial, in which more and more stands; else each has its own
	begin  func(d *testbed.Daemon, s scale) *trial
}

// trial is an experiment with a daemon.
type trial struct {
	prepare func(ctx context.Context, x int) error              // brings what stands to x; nil: nothing does
	measure func(ctx context.Context, x int) ([]Figures, error) // one of each series
	end     func()                                              // nil: nothing is to be ended
}

func (e *experiment) name() string { return e.series[0].Name }

func (e *experiment) matches(rows *regexp.Regexp) bool {
	for _, s := range e.series {
		if rows == nil || rows.MatchString(s.Name) {
			return true
		}
	}
	return false
}

// points are those of a scale, two at least.
func (e *experiment) points(s scale) []int {
	n := min(2, len(e.xs))
	for n < len(e.xs) && e.xs[n] <= s.most {
		n++
	}
	return e.xs[:n]
}

// flow is an experiment in which a load depends on x.
func flow(series Series, xs []int, load func(x int) loadgen.Load) experiment {
	return experiment{series: []Series{series}, xs: xs, begin: func(d *testbed.Daemon, s scale) *trial {
		return &trial{measure: func(ctx context.Context, x int) ([]Figures, error) {
			f, err := put(ctx, d, load(x), series.Per, s)
			return []Figures{f}, err
		}}
	}}
}

// put measures a load once.
func put(ctx context.Context, d *testbed.Daemon, l loadgen.Load, per string, s scale) (Figures, error) {
	l.Measure = loadgen.Amount{Duration: s.duration, Messages: s.messages}
	l.Warmup = loadgen.Amount{Duration: s.duration / 5, Messages: s.messages / 5}
	r, err := run(ctx, d, l)
	if err != nil {
		return Figures{}, err
	}
	return figuresOf(r, per)
}

// run does a load; an interruption is an error.
func run(ctx context.Context, d *testbed.Daemon, l loadgen.Load) (*loadgen.Result, error) {
	r, err := loadgen.Run(ctx, d.Target, l, nil)
	if err == nil && r.Interrupted {
		err = context.Cause(ctx)
	}
	return r, err
}

// figuresOf are those of a result; the costs are of a message with all its
// deliveries, or of a delivery when there are some.
func figuresOf(r *loadgen.Result, per string) (Figures, error) {
	if r.ServerCPU == nil {
		return Figures{}, fmt.Errorf("the CPU time of the server is not known")
	}
	share := 1.0
	if per == delivery && r.Deliveries > 0 {
		share = float64(r.Messages) / float64(r.Deliveries)
	}
	return Figures{
		Rate: r.Rate, DeliveryRate: r.DeliveryRate,
		ServerCPU: *r.ServerCPU * share, GeneratorCPU: r.GeneratorCPU * share,
		RSS: float64(r.ServerUse.RSS) / (1 << 20), Lost: r.Lost, Altered: r.Altered,
	}, nil
}
