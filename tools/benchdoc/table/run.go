package table

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// Options are what is measured and how.
type Options struct {
	QD    string         // binary
	NSQD  string         // binary of the daemon to compare with; empty: none
	Dir   string         // where data directories are made; default: that for temporary files
	Pairs int            // how often each daemon is measured; 5, and 1 when quick
	Quick bool           // less of everything: an impression and no measurement
	Rows  *regexp.Regexp // names of the rows to measure; nil: all
	// Tell is told what is about to be measured.
	Tell func(text string)
}

// Report is a table that was measured.
type Report struct {
	Date    time.Time       `json:"date"`
	Machine testbed.Machine `json:"machine"`
	QD      string          `json:"qd"`   // version
	NSQD    string          `json:"nsqd"` // version; empty: none
	Pairs   int             `json:"pairs"`
	Quick   bool            `json:"quick"`
	Rows    []*Row          `json:"rows"`
}

// Row is a row that was measured.
type Row struct {
	Name      string    `json:"name"`
	Flags     []string  `json:"flags,omitempty"`      // of both
	NSQDFlags []string  `json:"nsqd_flags,omitempty"` // of nsqd alone
	Figures   []*Figure `json:"figures"`              // in the order of their names
	Error     string    `json:"error,omitempty"`      // why it was not measured, or not often enough
}

// Figure is one number of a row.
type Figure struct {
	Name     string    `json:"name"` // with its unit
	QD       float64   `json:"qd"`   // median
	NSQD     float64   `json:"nsqd"` // median; 0 without runs
	Ratio    float64   `json:"ratio,omitempty"`
	Bar      *Bar      `json:"bar,omitempty"`
	Met      *bool     `json:"met,omitempty"` // the bar
	QDRuns   []float64 `json:"qd_runs"`
	NSQDRuns []float64 `json:"nsqd_runs"`
}

// Run measures the rows, and returns what it has when ctx is done. What goes
// wrong in a row is told in the row.
func Run(ctx context.Context, o Options) (*Report, error) {
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
	if o.NSQD != "" {
		if report.NSQD, err = testbed.VersionOf(o.NSQD); err != nil {
			return nil, err
		}
	}
	s := fullScale
	if o.Quick {
		s = quickScale
	}
	for _, r := range rows() {
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

// measure does the pairs of a row.
func (o *Options) measure(ctx context.Context, r row, s scale) *Row {
	row := &Row{Name: r.name, Flags: r.flags, NSQDFlags: r.nsqd}
	var qd, nsqd []values
	for pair := range o.Pairs {
		// What nobody consumed is checked once; it takes long with nsqd.
		s.verify = pair == 0
		o.tell("%s, %d of %d", r.name, pair+1, o.Pairs)
		a, err := o.once(ctx, r, o.QD, r.flags, s)
		if err != nil {
			row.Error = "qd: " + err.Error()
			break
		}
		qd = append(qd, a)
		if o.NSQD == "" {
			continue
		}
		b, err := o.once(ctx, r, o.NSQD, slices.Concat(r.flags, r.nsqd), s)
		if err != nil {
			row.Error = "nsqd: " + err.Error()
			break
		}
		nsqd = append(nsqd, b)
	}
	if o.NSQD != "" {
		qd = qd[:len(nsqd)] // the pairs that are complete
	}
	row.Figures = figures(qd, nsqd, bars[r.name])
	return row
}

func (o *Options) tell(format string, args ...any) {
	if o.Tell != nil {
		o.Tell(fmt.Sprintf(format, args...))
	}
}

// once measures a row with one daemon, which lives only for that.
func (o *Options) once(ctx context.Context, r row, binary string, flags []string, s scale) (values, error) {
	dir, err := os.MkdirTemp(o.Dir, "benchdoc-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o777); err != nil {
		return nil, err
	}
	if r.tls {
		certificate, err := certificateFlags(dir)
		if err != nil {
			return nil, err
		}
		flags = slices.Concat(flags, certificate)
	}
	d, err := testbed.Start(ctx, binary, data, flags)
	if err != nil {
		return nil, err
	}
	defer d.Kill()
	return r.measure(ctx, d, s)
}

// figures compares the medians of both, or tells those of qd when it was
// measured alone.
func figures(qd, nsqd []values, bars []Bar) (all []*Figure) {
	a, b := byFigure(qd), byFigure(nsqd)
	for name := range a {
		f := &Figure{Name: name, QDRuns: a[name], NSQDRuns: b[name], QD: middle(name, a[name])}
		if len(nsqd) > 0 {
			if len(b[name]) == 0 {
				continue
			}
			f.NSQD = middle(name, b[name])
		}
		if f.NSQD != 0 {
			f.Ratio = f.QD / f.NSQD
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

// order is that of the figures of a row.
var order = []string{rate, serverCPU, generatorCPU, p50, p99, p999, longest, sentLate, topicRate, connectRate,
	statsIdle, statsUnder, startDuration, rss, idleCPU, lost, altered}

// byFigure gathers the runs of each figure.
func byFigure(runs []values) map[string][]float64 {
	all := make(map[string][]float64)
	for _, v := range runs {
		for name, n := range v {
			all[name] = append(all[name], n)
		}
	}
	return all
}

// middle is the median, but the worst of what must be 0.
func middle(figure string, runs []float64) float64 {
	if figure == lost || figure == altered {
		return slices.Max(runs)
	}
	return *loadgen.Median(runs)
}

// judge tells whether the figure meets a bar. A ratio is asked of pairs alone.
func (f *Figure) judge(bar Bar) {
	if len(f.NSQDRuns) == 0 {
		bar.Ratio = 0
	}
	if bar.Ratio == 0 && bar.Value == 0 {
		return
	}
	meets := func(have, want float64) bool {
		if want == 0 {
			return true
		}
		if moreIsBetter(f.Name) {
			return have >= want
		}
		return have <= want
	}
	// Where nsqd uses nothing there is no ratio to meet.
	met := meets(f.QD, bar.Value) && (f.NSQD != 0 || bar.Ratio == 0) && meets(f.Ratio, bar.Ratio)
	f.Bar, f.Met = &bar, &met
}

// Sound tells whether qd lost and altered nothing in any row.
func (r *Report) Sound() bool {
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			if (f.Name == lost || f.Name == altered) && f.QD != 0 {
				return false
			}
		}
	}
	return true
}
