package set

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// Options are what is measured and how.
type Options struct {
	QD   string // binary
	Base string // binary of the unreplicated qd; default: QD
	// NATSServer is a binary: sets are compared with JetStream. Empty: with an unreplicated
	// qd, and in what they do when a member fails.
	NATSServer string
	Dir        string // where data directories are made; default: that for temporary files
	Filled     Filled
	Pairs      int            // how often each is measured; 5, and 1 when quick
	Quick      bool           // less of everything: an impression and no measurement
	Rows       *regexp.Regexp // names of the rows to measure; nil: all
	// Tell is told what is about to be measured.
	Tell func(text string)
}

// Filled is how an empty member is filled.
type Filled struct {
	// Dir is where its data directory is made: on another disk than Options.Dir, its writes
	// do not meet those of the others. Default: Options.Dir.
	Dir   string
	Bytes int64 // of messages that it gets; default: 4 GB
}

// Report is what was measured.
type Report struct {
	Date    time.Time       `json:"date"`
	Machine testbed.Machine `json:"machine"`
	QD      string          `json:"qd"` // version
	// Other is what sets were compared with, and its version where that is not QD's.
	Other string `json:"other"`
	Pairs int    `json:"pairs"`
	Quick bool   `json:"quick"`
	Rows  []*Row `json:"rows"`
}

// Row is a row that was measured.
type Row struct {
	Name       string    `json:"name"`
	Flags      []string  `json:"flags,omitempty"`       // of the members
	AloneFlags []string  `json:"alone_flags,omitempty"` // of the unreplicated one
	Figures    []*Figure `json:"figures"`
	Error      string    `json:"error,omitempty"` // why it was not measured, or not often enough
}

// Figure is one number of a row.
type Figure struct {
	Name      string    `json:"name"` // with its unit
	Set       float64   `json:"set"`  // median, or the worst
	Alone     float64   `json:"alone,omitempty"`
	Ratio     float64   `json:"ratio,omitempty"` // the median of the pairs' own, where each run has one
	Bar       *Bar      `json:"bar,omitempty"`
	Met       *bool     `json:"met,omitempty"` // the bar
	SetRuns   []float64 `json:"set_runs"`
	AloneRuns []float64 `json:"alone_runs,omitempty"`
}

// Run measures the rows, and returns what it has when ctx is done. What goes wrong in a
// row is told in the row.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := fullScale
	if o.Quick {
		s = quickScale
	}
	s.filled = o.Filled
	if o.Pairs == 0 {
		o.Pairs = 5
		if o.Quick {
			o.Pairs = 1
		}
	}
	report := &Report{Date: time.Now().UTC().Truncate(time.Second), Machine: testbed.ThisMachine(), Pairs: o.Pairs, Quick: o.Quick}
	var err error
	if report.QD, err = testbed.VersionOf(o.QD); err != nil {
		return nil, err
	}
	all := rows()
	if report.Other = "unreplicated"; o.NATSServer != "" {
		version, err := testbed.VersionOf(o.NATSServer)
		if err != nil {
			return nil, err
		}
		report.Other, all = "JetStream, "+version, peerRows()
	}
	for _, r := range all {
		if o.Rows != nil && !o.Rows.MatchString(r.name) {
			continue
		}
		row := o.measure(ctx, r, s)
		if ctx.Err() != nil {
			return report, nil
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

// measure does the pairs of a row; one measurement where it is compared with nothing,
// which then has many of its own.
func (o *Options) measure(ctx context.Context, r row, s scale) *Row {
	row := &Row{Name: r.name, Flags: r.flags, AloneFlags: r.aloneFlags}
	pairs := o.Pairs
	if !r.compared() {
		pairs = 1
	}
	onSet, alone := values{}, values{}
	for pair := range pairs {
		if o.Tell != nil {
			o.Tell(fmt.Sprintf("%s, %d of %d", r.name, pair+1, pairs))
		}
		a, b, err := o.pair(ctx, r, s)
		if err != nil {
			row.Error = err.Error()
			break
		}
		onSet.merge(a)
		alone.merge(b)
	}
	row.Figures = figures(onSet, alone, r.bars)
	return row
}

// pair measures a set, and then an unreplicated qd.
func (o *Options) pair(ctx context.Context, r row, s scale) (onSet, alone values, err error) {
	dir, err := os.MkdirTemp(o.Dir, "benchdoc-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	if err := testbed.TouchMemory(dir, s.touched); err != nil {
		return nil, nil, err
	}
	set, err := testbed.StartSet(ctx, o.QD, dir, r.flags)
	if err != nil {
		return nil, nil, err
	}
	onSet, err = r.onSet(ctx, set, s)
	set.Kill()
	if err != nil || !r.compared() {
		return onSet, nil, err
	}
	data, err := os.MkdirTemp(dir, "alone-")
	if err != nil {
		return nil, nil, err
	}
	if r.stream != nil {
		servers, err := testbed.StartJetStream(ctx, o.NATSServer, data, r.aloneFlags)
		if err != nil {
			return nil, nil, err
		}
		defer servers.Kill()
		alone, err = r.stream(ctx, servers, s)
		return onSet, alone, err
	}
	binary := o.Base
	if binary == "" {
		binary = o.QD
	}
	d, err := testbed.Start(ctx, binary, data, r.aloneFlags)
	if err != nil {
		return nil, nil, err
	}
	defer d.Kill()
	alone, err = r.alone(ctx, d, s)
	return onSet, alone, err
}

func (v values) merge(more values) {
	for name, runs := range more {
		v[name] = append(v[name], runs...)
	}
}

// figures compares both.
func figures(onSet, alone values, bars []Bar) (all []*Figure) {
	for name, runs := range onSet {
		f := &Figure{Name: name, SetRuns: runs, AloneRuns: alone[name], Set: middle(name, runs)}
		if len(f.AloneRuns) > 0 {
			f.Alone = middle(name, f.AloneRuns)
			f.Ratio = ratio(f)
		}
		for _, bar := range bars {
			if bar.Figure == name {
				f.judge(bar)
			}
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(x, y *Figure) int { return slices.Index(order, x.Name) - slices.Index(order, y.Name) })
	return all
}

// ratio is the median of those of the pairs: both of a pair have met the same.
func ratio(f *Figure) float64 {
	if f.Alone == 0 {
		return 0
	}
	if len(f.SetRuns) != len(f.AloneRuns) || slices.Contains(f.AloneRuns, 0) {
		return f.Set / f.Alone
	}
	var all []float64
	for i, n := range f.SetRuns {
		all = append(all, n/f.AloneRuns[i])
	}
	return *loadgen.Median(all)
}

// middle is the median, or the worst where that counts.
func middle(figure string, runs []float64) float64 {
	if worst(figure) {
		return slices.Max(runs)
	}
	return *loadgen.Median(runs)
}

// judge tells whether the figure meets a bar. What is asked beside an unreplicated qd is
// not met without one.
func (f *Figure) judge(bar Bar) {
	met := true
	ask := func(have, want float64) {
		if want != 0 {
			met = met && (have <= want) != moreIsBetter(f.Name) || have == want
		}
	}
	ask(f.Set, bar.Value)
	ask(f.Ratio, bar.Ratio)
	ask(f.Set-f.Alone, bar.Above)
	if (bar.Ratio != 0 || bar.Above != 0) && len(f.AloneRuns) == 0 {
		met = false
	}
	f.Bar, f.Met = &bar, &met
}

// Sound tells whether nothing was lost in any row.
func (r *Report) Sound() bool {
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			if f.Name == lost && f.Set != 0 {
				return false
			}
		}
	}
	return true
}
