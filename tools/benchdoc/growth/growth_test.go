package growth

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"qmq/loadgen"
	"qmq/test/process"
	"qmq/tools/benchdoc/testbed"
)

// smallScale is for tests: everything is done, and little of it.
var smallScale = scale{runs: 1, messages: 5000}

func TestEverySeriesCanBeMeasured(t *testing.T) {
	o := Options{QD: filepath.Join(process.Build(t, "cmd/qd"), "qd"), Dir: t.TempDir(), Limit: time.Minute}
	for _, e := range experiments() {
		t.Run(e.name(), func(t *testing.T) {
			for _, s := range o.measure(t.Context(), e, smallScale) {
				if len(s.Lines) != 1 || s.Lines[0].Daemon != qd || len(s.Lines[0].Points) != 2 {
					t.Fatalf("%s: %+v", s.Name, s)
				}
				for i, p := range s.Lines[0].Points {
					if p.X != e.xs[i] || p.Error != "" || p.Rate <= 0 || p.ServerCPU <= 0 || p.GeneratorCPU <= 0 || p.RSS <= 0 || p.Lost != 0 || p.Altered != 0 {
						t.Errorf("%s: %+v", s.Name, p)
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

func TestNamesTellSeriesApart(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range experiments() {
		for _, s := range e.series {
			if seen[s.Name] || s.Quantity == "" || s.Fixed == "" || s.Per == "" {
				t.Errorf("%+v is there already, or says too little", s)
			}
			seen[s.Name] = true
		}
	}
}

func TestEveryPointOfTheSizesIsALoadThatDaemonsTake(t *testing.T) {
	const (
		maxBody    = 5 << 20 // of an MPUB, by default
		maxMessage = 1 << 20
	)
	for _, x := range sizes().xs {
		l := sizeLoad(x)
		if batch := l.Batch * (4 + x); l.Body != x || x > maxMessage || batch > maxBody || batch < 10_000 {
			t.Errorf("%d bytes: %+v", x, l)
		}
	}
}

func TestPointThatTakesTooLongIsNotMeasured(t *testing.T) {
	binary := filepath.Join(process.Build(t, "cmd/qd"), "qd")
	for name, grows := range map[string]bool{"points of their own": false, "one that grows": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{QD: binary, Dir: t.TempDir(), Limit: 5 * time.Second}
			e := flow(Series{Name: "s", Per: message}, []int{1, 2, 3}, nil)
			e.grows = grows
			e.begin = func(*testbed.Daemon, scale) *trial {
				return &trial{measure: func(ctx context.Context, x int) ([]Figures, error) {
					if x == 2 {
						<-ctx.Done()
						return nil, errors.New("what came of it")
					}
					return []Figures{{Rate: float64(x)}}, nil
				}}
			}
			s := smallScale
			s.most = 3
			points := o.measure(t.Context(), e, s)[0].Lines[0].Points
			after := ""
			if grows {
				after = "not after a point that could not be measured"
			}
			if points[0].Rate != 1 || points[1].Error != "not within 5s" || points[2].Error != after {
				t.Errorf("%+v", points)
			}
		})
	}
}

func TestPointIsTheMedianOfItsMeasurementsAndAllThatWasLost(t *testing.T) {
	m := medianOf([]Figures{{Rate: 3, ServerCPU: 1, Lost: 2}, {Rate: 1, ServerCPU: 9, Altered: 1}, {Rate: 2, ServerCPU: 5}})
	if m.Rate != 2 || m.ServerCPU != 5 || m.Lost != 2 || m.Altered != 1 {
		t.Errorf("%+v", m)
	}
}

func TestCostIsThatOfADeliveryWhereItIsAboutDeliveries(t *testing.T) {
	cpu := 12.0
	r := &loadgen.Result{Messages: 10, Deliveries: 40, ServerCPU: &cpu, GeneratorCPU: 4, ServerUse: new(loadgen.Usage)}
	if f, err := figuresOf(r, delivery); err != nil || f.ServerCPU != 3 || f.GeneratorCPU != 1 {
		t.Errorf("of a delivery: %+v, %v", f, err)
	}
	if f, err := figuresOf(r, message); err != nil || f.ServerCPU != 12 || f.GeneratorCPU != 4 {
		t.Errorf("of a message: %+v, %v", f, err)
	}
	if _, err := figuresOf(&loadgen.Result{}, message); err == nil {
		t.Error("a cost that is not known is no error")
	}
}

func TestSeriesOfAnInterruptedRunAreThoseThatAreComplete(t *testing.T) {
	binary := filepath.Join(process.Build(t, "cmd/qd"), "qd")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{QD: binary, Quick: true, Dir: t.TempDir(), Rows: regexp.MustCompile("topics in turn|in flight"), Tell: func(text string) {
		if strings.Contains(text, "in flight") || strings.HasSuffix(text, ", 10") {
			cancel()
		}
	}}
	r, err := Run(ctx, o)
	if err != nil || len(r.Series) != 0 || !strings.HasPrefix(r.QD, "qd v") || r.Machine.Cores == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// sample is a report of two daemons in which not everything went well.
func sample() *Report {
	return &Report{QD: "qd v2", NSQD: "nsqd v1", Runs: 3, Series: []*Series{
		{Name: "message size", Quantity: "bytes", Bytes: true, Per: message, Fixed: "one of < 1 MiB & more", Lines: []*Curve{
			{Daemon: qd, Points: []Point{
				{X: 16, Figures: Figures{Rate: 4e6, ServerCPU: 0.25, GeneratorCPU: 0.1, RSS: 55.6}},
				{X: 200, Figures: Figures{Rate: 3e6, ServerCPU: 0.35, GeneratorCPU: 0.12, RSS: 60}},
				{X: 1 << 20, Figures: Figures{Rate: 1500, ServerCPU: 700, GeneratorCPU: 300, RSS: 134}},
			}},
			{Daemon: nsqd, Points: []Point{
				{X: 16, Figures: Figures{Rate: 3e5, ServerCPU: 3, GeneratorCPU: 0.3, RSS: 50, Lost: 7}},
				{X: 200, Error: "not within 2m0s"},
				{X: 1 << 20, Error: "not within 2m0s"},
			}},
		}},
		{Name: "channels", Quantity: "channels", Per: delivery, Fixed: "fixed", Lines: []*Curve{
			{Daemon: qd, Points: []Point{{X: 0, Figures: Figures{Rate: 4e6, ServerCPU: 0.2}}, {X: 100_000, Figures: Figures{Rate: 2e6, DeliveryRate: 4e6, ServerCPU: 0.3}}}},
		}},
		{Name: "nothing", Quantity: "q", Per: message, Fixed: "fixed", Lines: []*Curve{{Daemon: qd, Points: []Point{{X: 0, Error: "failed"}}}}},
	}}
}

func TestReportTellsEachSeriesInATable(t *testing.T) {
	r := sample()
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"qd v2 and nsqd v1", "Medians of 3",
		"\n### Message size\nOne of < 1 MiB & more.\n\n|  | bytes | msg/s | server CPU µs/msg | generator CPU µs/msg | server RSS MiB |\n|---|--:|--:|--:|--:|--:|\n",
		"| qd | 16 B | 4.00 M | 0.25 | 0.10 | 56 |\n", "| qd | 1 MiB | 1500 | 700 | 300 | 134 |\n",
		"| nsqd | 200 B | not measured | | | |\n", "- nsqd, 16 B: 7 messages lost, 0 altered\n- nsqd, 200 B: not measured: not within 2m0s\n",
		"\n| channels | msg/s | deliveries/s | server CPU µs/delivery |", "\n| 100 k | 2.00 M | 4.00 M | 0.30 | 0.00 | 0 |\n",
	} {
		if strings.Count(text.String(), part) != 1 {
			t.Errorf("%q is not once in\n%s", part, text.String())
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if !r.Sound() {
		t.Error("what nsqd lost makes qd unsound")
	}
	r.Series[1].Lines[0].Points[1].Altered = 1
	if r.Sound() || !strings.Contains(r.markdown(), "**Messages were lost or altered.**") {
		t.Error("a report with altered messages is sound")
	}
}

func TestTablesGoBetweenTheMarksOfADocument(t *testing.T) {
	r := sample()
	tables := r.markdown()
	for _, test := range []struct{ name, document, want string }{
		{"marks", "head\n<!-- growth -->\nold\n<!-- /growth -->\ntail\n", "head\n<!-- growth -->\n" + tables + "<!-- /growth -->\ntail\n"},
		{"no document", "", tables},
		{"no marks", "something else", tables},
		{"no end", "head\n<!-- growth -->\ntail\n", tables},
	} {
		if got := r.Insert(test.document); got != test.want {
			t.Errorf("%s:\n%s", test.name, got)
		}
	}
}

// chartOf reads what a chart consists of: the text of its labels and the
// number of each kind of element.
func chartOf(t *testing.T, r *Report) (labels []string, elements map[string]int) {
	t.Helper()
	var chart strings.Builder
	if err := r.WriteSVG(&chart); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(chart.String(), "NaN") || strings.Contains(chart.String(), "Inf") {
		t.Errorf("places that are none in\n%s", chart.String())
	}
	elements = make(map[string]int)
	for d := xml.NewDecoder(strings.NewReader(chart.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return labels, elements
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, chart.String())
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
		case xml.CharData:
			if label := strings.TrimSpace(string(token)); label != "" {
				labels = append(labels, label)
			}
		}
	}
}

func TestChartHasAPanelForEachSeries(t *testing.T) {
	labels, elements := chartOf(t, sample())
	all := "|" + strings.Join(labels, "|") + "|"
	for _, part := range []string{
		"|qd|generator, for qd|nsqd|Message size|", "|CPU µs per message|", "|Channels|CPU µs per delivery|",
		"|16 B|200 B|1 MiB|bytes|", "|0|100 k|channels|", "|0.1|1|10|100|1000|",
	} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is not in %s", part, all)
		}
	}
	// Of each daemon a dot for each point that was measured.
	if elements["svg"] != 1 || elements["g"] != 3 || elements["circle"] != 6 {
		t.Errorf("%v", elements)
	}
	if labels, _ := chartOf(t, &Report{Series: sample().Series[1:2]}); strings.Contains(strings.Join(labels, "|"), nsqd) {
		t.Errorf("a daemon that was not measured is in %v", labels)
	}
}

func TestAxesHoldAllThatIsMeasured(t *testing.T) {
	across := quantityAxis([]int{0, 10, 1000, 100_000}, 50, 450)
	for x, want := range map[float64]float64{0: 50, 10: 90, 1000: 270, 100_000: 450} {
		if at := across.at(x); at < want-0.01 || at > want+0.01 {
			t.Errorf("quantity %v is at %v, want %v", x, at, want)
		}
	}
	for _, test := range []struct {
		costs []float64
		ticks []float64
	}{
		{[]float64{0.31, 0.92}, []float64{0, 0.5, 1}},
		{[]float64{0.5, 3.9}, []float64{0, 1, 2, 3, 4}},
		{[]float64{0.2, 70}, []float64{0.1, 1, 10, 100}},
		{[]float64{0, 70}, []float64{0, 20, 40, 60, 80}},
		{nil, []float64{0, 1}},
	} {
		up := costAxis(test.costs, 200, 0)
		if len(up.ticks) != len(test.ticks) {
			t.Errorf("%v: ticks %v, want %v", test.costs, up.ticks, test.ticks)
			continue
		}
		for i, tick := range up.ticks {
			if off := tick - test.ticks[i]; off > 1e-9 || off < -1e-9 {
				t.Errorf("%v: ticks %v, want %v", test.costs, up.ticks, test.ticks)
			}
		}
		for _, c := range test.costs {
			if at := up.at(c); at < 0 || at > 200 {
				t.Errorf("%v: %v is at %v", test.costs, c, at)
			}
		}
	}
}
