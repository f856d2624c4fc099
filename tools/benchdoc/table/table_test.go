package table

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
)

// smallScale is for tests: everything is done, and little of it.
var smallScale = scale{divide: 10_000, cap: time.Second, timed: 20 * time.Millisecond, idle: time.Millisecond, verify: true}

func TestEveryRowCanBeMeasured(t *testing.T) {
	qd := filepath.Join(process.Build(t, "cmd/qd"), "qd")
	o := Options{Dir: t.TempDir()}
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			v, err := o.once(t.Context(), r, qd, slices.Concat(r.flags, r.nsqd), smallScale)
			if err != nil {
				t.Fatal(err)
			}
			for name, n := range v {
				if !slices.Contains(order, name) {
					t.Errorf("figure %q has no place in the order", name)
				}
				switch name {
				case lost, altered:
					if n != 0 {
						t.Errorf("%s: %v", name, n)
					}
				case idleCPU, rss: // may be nothing in so short a time
				default:
					if n <= 0 {
						t.Errorf("%s: %v", name, n)
					}
				}
			}
		})
	}
	left, err := os.ReadDir(o.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestEveryBarBelongsToAFigureOfARow(t *testing.T) {
	for name, asked := range bars {
		if !slices.ContainsFunc(rows(), func(r row) bool { return r.name == name }) {
			t.Errorf("there is no row %q", name)
		}
		for _, b := range asked {
			if !slices.Contains(order, b.Figure) {
				t.Errorf("%s: there is no figure %q", name, b.Figure)
			}
		}
	}
	seen := make(map[string]bool)
	for _, r := range rows() {
		if seen[r.name] {
			t.Errorf("there are two rows %q", r.name)
		}
		seen[r.name] = true
	}
}

func TestBarsAreJudgedByMedians(t *testing.T) {
	for _, test := range []struct {
		name     string
		figure   string
		qd, nsqd []float64
		bar      Bar
		met      bool
	}{
		{"rate at the bar", rate, []float64{10, 30, 20}, []float64{10, 10, 10}, Bar{Ratio: 2}, true},
		{"rate below", rate, []float64{10, 19, 20}, []float64{10, 10, 10}, Bar{Ratio: 2}, false},
		{"CPU at the bar", serverCPU, []float64{5, 1, 9}, []float64{10, 10, 10}, Bar{Ratio: 0.5}, true},
		{"CPU above", serverCPU, []float64{5.1, 5.1, 1}, []float64{10, 10, 10}, Bar{Ratio: 0.5}, false},
		{"value at the bar", p99, []float64{1000}, []float64{10}, Bar{Value: 1000}, true},
		{"value above", p99, []float64{1001}, []float64{10_000}, Bar{Value: 1000}, false},
		{"value met, ratio not", rate, []float64{100}, []float64{100}, Bar{Value: 50, Ratio: 2}, false},
		{"nothing to compare with", idleCPU, []float64{1}, []float64{0}, Bar{Ratio: 1}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.bar.Figure = test.figure
			var qd, nsqd []values
			for i := range test.qd {
				qd, nsqd = append(qd, values{test.figure: test.qd[i]}), append(nsqd, values{test.figure: test.nsqd[i]})
			}
			f := figures(qd, nsqd, []Bar{{Figure: "another"}, test.bar})
			if len(f) != 1 || f[0].Met == nil || *f[0].Met != test.met {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestWorstRunTellsWhatWasLost(t *testing.T) {
	runs := []values{{lost: 0, rate: 1}, {lost: 3, rate: 1}, {lost: 0, rate: 1}}
	f := figures(runs, runs, nil)
	if len(f) != 2 || f[0].Name != rate || f[1].Name != lost || f[1].QD != 3 {
		t.Errorf("%+v %+v", f[0], f[1])
	}
	if r := (&Report{Rows: []*Row{{Figures: f}}}); r.Sound() {
		t.Error("a report with lost messages is sound")
	}
}

func TestReportTellsRowsAndTroubles(t *testing.T) {
	dir := process.Build(t, "cmd/qd")
	qd := filepath.Join(dir, "qd")
	broken := filepath.Join(t.TempDir(), "nsqd") // tells its version and cannot serve
	if err := os.WriteFile(broken, []byte("#!/bin/sh\n[ $1 = --version ] && echo broken v0\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	o := Options{QD: qd, NSQD: qd, Pairs: 2, Dir: t.TempDir()}
	synced, topics := namedRow(t, "^synced: PUB one at a time, 1 conn"), namedRow(t, "^10,000 idle topics")
	report := &Report{QD: "qd v2", NSQD: "nsqd v1", Pairs: 2}
	for _, r := range []row{synced, topics} {
		report.Rows = append(report.Rows, o.measure(t.Context(), r, smallScale))
	}
	o.NSQD = broken
	report.Rows = append(report.Rows, o.measure(t.Context(), synced, smallScale))
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"qd v2 against nsqd v1", "| load |", "(`--sync-every=1`) (nsqd `--mem-queue-size=0`) | ",
		"| 10,000 idle topics with a channel | topics/s |", "RSS MiB ≤ 40 | yes |",
		"not measured: nsqd: start " + broken,
	} {
		if strings.Count(text.String(), part) != 1 {
			t.Errorf("%q is not once in\n%s", part, text.String())
		}
	}
	if _, err := json.Marshal(report); err != nil {
		t.Error(err)
	}
}

// TestDocumentIsThatOfItsFigures: what people read of the comparison is what
// programs read.
func TestDocumentIsThatOfItsFigures(t *testing.T) {
	docs := filepath.Join("..", "..", "..", "docs")
	figures, err := os.ReadFile(filepath.Join(docs, "bench-compare.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(figures, &report); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(docs, "bench-compare.md"))
	if err != nil || string(document) != text.String() {
		t.Errorf("docs/bench-compare.md is not that of bench-compare.json: %v", err)
	}
}

func TestDaemonIsMeasuredAlone(t *testing.T) {
	o := Options{QD: filepath.Join(process.Build(t, "cmd/qd"), "qd"), Pairs: 2, Dir: t.TempDir()}
	report := &Report{QD: "qd v2", Pairs: 2}
	for _, pattern := range []string{"^PUB pipelined, 1 channel", "^10,000 idle topics"} {
		report.Rows = append(report.Rows, o.measure(t.Context(), namedRow(t, pattern), smallScale))
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, f := range append(report.Rows[0].Figures, report.Rows[1].Figures...) {
		if len(f.QDRuns) != 2 || len(f.NSQDRuns) != 0 || f.Ratio != 0 || f.Bar != nil && f.Bar.Ratio != 0 {
			t.Errorf("%+v", f)
		}
	}
	for _, part := range []string{"# qd, ", "- qd v2\n", " |  |  | ", "RSS MiB ≤ 40 | yes |"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
}

func namedRow(t *testing.T, pattern string) row {
	t.Helper()
	for _, r := range rows() {
		if regexp.MustCompile(pattern).MatchString(r.name) {
			return r
		}
	}
	t.Fatalf("no row %s", pattern)
	return row{}
}

func TestTableThatIsInterruptedHasTheRowsThatAreComplete(t *testing.T) {
	qd := filepath.Join(process.Build(t, "cmd/qd"), "qd")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{QD: qd, NSQD: qd, Quick: true, Dir: t.TempDir(), Rows: regexp.MustCompile("one at a time, 1 connection"), Tell: func(text string) {
		if strings.HasPrefix(text, "synced") {
			cancel()
		}
	}}
	report, err := Run(ctx, o)
	if err != nil || len(report.Rows) != 1 || report.Rows[0].Error != "" || report.Machine.Cores == 0 || !strings.HasPrefix(report.QD, "qd v") {
		t.Errorf("%+v, %v", report, err)
	}
}
