package set

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/loadgen"
	"qmq/test/process"
	"qmq/tools/benchdoc/testbed"
)

// smallScale is for tests: everything is done, and little of it.
var smallScale = scale{
	divide: 10_000, cap: 50 * time.Millisecond, warmup: time.Millisecond, idle: time.Millisecond, watch: 50 * time.Millisecond, faults: 1,
}

// All that is measured is found out of one set, one after the other.
func TestRowsCanBeMeasured(t *testing.T) {
	set, err := testbed.StartSet(t.Context(), filepath.Join(process.Build(t, "cmd/qd"), "qd"), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Kill()
	for _, r := range []row{
		flow("a load", loadgen.Load{Batch: 10, Window: 2, Channels: 1}),
		gaps("killed", disturbance{state: much, fault: killed, watch: publishing}),
		gaps("stopped", disturbance{fault: stopped, watch: publishing}),
		gaps("moved", disturbance{fault: moved, watch: consuming(3)}),
		idle(), deferred(), refill("refill"), peer("a peer", oneByOne), refill("refill elsewhere"), // which ends a member
	} {
		s := smallScale
		if r.name == "refill elsewhere" {
			s.filled = Filled{Dir: t.TempDir(), Bytes: refillBytes / 2}
		}
		v, err := r.onSet(t.Context(), set, s)
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		for name, runs := range v {
			if !slices.Contains(order, name) {
				t.Errorf("%s: figure %q has no place in the order", r.name, name)
			}
			for _, n := range runs {
				switch name {
				case lost:
					if n != 0 {
						t.Errorf("%s: %v lost", r.name, n)
					}
				case idleCPU, leaderRSS, followerRSS: // may be nothing in so short a time
				default:
					if n <= 0 {
						t.Errorf("%s: %s is %v", r.name, name, n)
					}
				}
			}
		}
	}
}

func TestEveryBarIsOfAFigure(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range append(rows(), peerRows()...) {
		if seen[r.name] {
			t.Errorf("there are two rows %q", r.name)
		}
		seen[r.name] = true
		for _, b := range r.bars {
			if !slices.Contains(order, b.Figure) {
				t.Errorf("%s: there is no figure %q", r.name, b.Figure)
			}
		}
	}
}

func TestBarsAreJudged(t *testing.T) {
	for _, test := range []struct {
		name       string
		figure     string
		set, alone []float64
		bar        Bar
		met        bool
	}{
		{"ratio of the pairs", allCPU, []float64{6, 60, 5}, []float64{1, 10, 1}, Bar{Ratio: 6}, true},
		{"ratio above", allCPU, []float64{6.1, 61, 5}, []float64{1, 10, 1}, Bar{Ratio: 6}, false},
		{"nothing to compare with", allCPU, []float64{1}, nil, Bar{Ratio: 6}, false},
		{"more than alone", rss, []float64{50}, []float64{30}, Bar{Above: 20}, true},
		{"much more than alone", rss, []float64{51}, []float64{30}, Bar{Above: 20}, false},
		{"value", gap, []float64{500, 600, 9000}, nil, Bar{Value: 600}, true},
		{"the worst counts", maxGap, []float64{500, 600, 9000}, nil, Bar{Value: 1000}, false},
		{"a rate at the bar", refillRate, []float64{180}, nil, Bar{Value: 180}, true},
		{"a rate below", refillRate, []float64{179}, nil, Bar{Value: 180}, false},
		{"a rate above", refillRate, []float64{181}, nil, Bar{Value: 180}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.bar.Figure = test.figure
			alone := values{}
			if test.alone != nil {
				alone[test.figure] = test.alone
			}
			f := figures(values{test.figure: test.set}, alone, []Bar{test.bar})
			if len(f) != 1 || f[0].Met == nil || *f[0].Met != test.met {
				t.Errorf("%+v", f[0])
			}
		})
	}
}

func TestReportTellsFiguresAndTroubles(t *testing.T) {
	met := false
	r := &Report{QD: "qd v2", Other: "unreplicated", Pairs: 3, Rows: []*Row{
		{Name: "a row", Flags: []string{"--x"}, AloneFlags: []string{"--y"}, Figures: []*Figure{
			{Name: allCPU, Set: 2.5, Alone: 0.5, Ratio: 5, AloneRuns: []float64{0.5}, SetRuns: []float64{2.5}, Bar: &Bar{Figure: allCPU, Ratio: 4}, Met: &met},
			{Name: lost, Set: 1},
		}},
		{Name: "another", Error: "it\nbroke"},
	}}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"| a row (`--x`) (unreplicated: `--y`) | " + allCPU + " | 2.5 | 0.5 | 5.00 | ≤ 4× | **no** |", "another: not measured, or not often enough: it · broke"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
	if r.Sound() {
		t.Error("a report with a lost message is sound")
	}
}

func TestLongestGapCountsWhatHasNotEnded(t *testing.T) {
	now := time.Now()
	w := &watched{moments: []time.Time{now.Add(-10 * time.Second), now.Add(-5 * time.Second), now.Add(-3 * time.Second), now.Add(-2 * time.Second)}}
	if gap := w.longest(now.Add(-4 * time.Second)); gap < 2*time.Second || gap > 3*time.Second {
		t.Errorf("the longest gap is %s", gap)
	}
	if gap := w.longest(now.Add(-6 * time.Second)); gap != 5*time.Second {
		t.Errorf("the longest gap is %s", gap)
	}
}
