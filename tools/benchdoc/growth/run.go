package growth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"qmq/tools/benchdoc/testbed"
)

// Options are what is measured and how.
type Options struct {
	QD    string         // binary
	NSQD  string         // binary of another daemon that is measured too; empty: none
	Dir   string         // where data directories are made; default: that for temporary files
	Rows  *regexp.Regexp // names of the series to measure; nil: all
	Quick bool           // less of everything: an impression and no measurement
	Limit time.Duration  // longest that a point may take; 2 min
	// Tell is told what is about to be measured.
	Tell func(text string)
}

// Names of the daemons.
const (
	qd   = "qd"
	nsqd = "nsqd"
)

// scale is how much is done.
type scale struct {
	runs     int           // measurements of a point
	duration time.Duration // of a measurement, at least; 0: messages alone end it
	messages int           // of a measurement, at most; 0: not limited
	most     int           // points beyond are left out
	touched  int           // bytes of free memory that are touched before a measurement
}

var (
	fullScale  = scale{runs: 3, duration: time.Second, most: 20_000_000, touched: 1 << 30}
	quickScale = scale{runs: 1, duration: 300 * time.Millisecond, most: 1 << 20, touched: 512 << 20}
)

// Run measures the series, and returns what it has when ctx is done. What goes
// wrong at a point is told there.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := fullScale
	if o.Quick {
		s = quickScale
	}
	if o.Limit == 0 {
		o.Limit = 2 * time.Minute
	}
	r := &Report{Date: time.Now().UTC().Truncate(time.Second), Machine: testbed.ThisMachine(), Runs: s.runs, Quick: o.Quick}
	var err error
	if r.QD, err = testbed.VersionOf(o.QD); err != nil {
		return nil, err
	}
	if o.NSQD != "" {
		if r.NSQD, err = testbed.VersionOf(o.NSQD); err != nil {
			return nil, err
		}
	}
	for _, e := range experiments() {
		if !e.matches(o.Rows) {
			continue
		}
		series := o.measure(ctx, e, s)
		if ctx.Err() != nil {
			return r, nil
		}
		r.Series = append(r.Series, series...)
	}
	return r, nil
}

// measure does an experiment with each daemon.
func (o *Options) measure(ctx context.Context, e experiment, s scale) []*Series {
	var all []*Series
	for _, one := range e.series {
		all = append(all, &one)
	}
	for _, d := range []struct{ name, binary string }{{qd, o.QD}, {nsqd, o.NSQD}} {
		if d.binary == "" {
			continue
		}
		for _, series := range all {
			series.Lines = append(series.Lines, &Curve{Daemon: d.name})
		}
		t := &tester{Options: o, experiment: e, scale: s, binary: d.binary}
		for _, x := range e.points(s) {
			if ctx.Err() != nil {
				break
			}
			o.tell("%s: %s, %d", d.name, e.name(), x)
			figures, err := t.point(ctx, x)
			for i, series := range all {
				p := Point{X: x}
				if err != nil {
					p.Error = err.Error()
				} else {
					p.Figures = medianOf(figures[i])
				}
				curve := series.Lines[len(series.Lines)-1]
				curve.Points = append(curve.Points, p)
			}
		}
		t.end()
	}
	return all
}

func (o *Options) tell(format string, args ...any) {
	if o.Tell != nil {
		o.Tell(fmt.Sprintf(format, args...))
	}
}

// tester does an experiment with one daemon.
type tester struct {
	*Options
	experiment
	scale
	binary string

	trial  *trial // under way; nil: none
	dir    string
	daemon *testbed.Daemon
	failed error // why what stands could not grow
}

// point takes the measurements of a point, by series.
func (t *tester) point(ctx context.Context, x int) (all [][]Figures, err error) {
	if t.failed != nil {
		return nil, t.failed
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.Limit, fmt.Errorf("not within %s", t.Limit))
	defer cancel()
	all, err = t.take(limited, x)
	if err != nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	if !t.grows || err != nil {
		t.end()
	}
	if t.grows && err != nil {
		t.failed = errors.New("not after a point that could not be measured")
	}
	return all, err
}

func (t *tester) take(ctx context.Context, x int) ([][]Figures, error) {
	if t.trial == nil {
		if err := t.start(ctx); err != nil {
			return nil, err
		}
	}
	if t.trial.prepare != nil {
		if err := t.trial.prepare(ctx, x); err != nil {
			return nil, err
		}
	}
	all := make([][]Figures, len(t.series))
	for range t.runs {
		if err := testbed.TouchMemory(t.Dir, t.touched); err != nil {
			return nil, err
		}
		figures, err := t.trial.measure(ctx, x)
		if err != nil {
			return nil, err
		}
		for i, f := range figures {
			all[i] = append(all[i], f)
		}
	}
	return all, nil
}

// start begins a trial on a daemon that has nothing yet.
func (t *tester) start(ctx context.Context) (err error) {
	if t.dir, err = os.MkdirTemp(t.Dir, "benchdoc-"); err != nil {
		return err
	}
	if t.daemon, err = testbed.Start(ctx, t.binary, t.dir, t.flags); err != nil {
		os.RemoveAll(t.dir)
		return err
	}
	t.trial = t.begin(t.daemon, t.scale)
	return nil
}

// end ends the trial under way and removes its data.
func (t *tester) end() {
	if t.trial == nil {
		return
	}
	if t.trial.end != nil {
		t.trial.end()
	}
	t.daemon.Kill()
	os.RemoveAll(t.dir)
	t.trial = nil
}
