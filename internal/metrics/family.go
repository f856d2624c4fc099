package metrics

import (
	"fmt"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Kind is what the values of a family are.
type Kind int

const (
	Counter   Kind = iota // grows, and begins at 0 with the process
	Gauge                 // goes up and down
	Histogram             // durations in seconds
)

var kinds = map[Kind]dto.MetricType{Counter: dto.MetricType_COUNTER, Gauge: dto.MetricType_GAUGE, Histogram: dto.MetricType_HISTOGRAM}

// String is the kind as Prometheus calls it.
func (k Kind) String() string { return strings.ToLower(kinds[k].String()) }

// Family is a metric by its name, with a series for each set of values of its labels.
// It is declared once, and never changed.
type Family struct {
	Name   string // with its unit; a Counter's ends in _total
	Kind   Kind
	Labels []string // sorted
	Help   string   // one sentence, without its full stop
}

// Markdown is a table of families, for the documentation.
func Markdown(families []*Family) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | |\n|---|---|---|---|\n")
	for _, f := range families {
		labels := "–"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, labels, f.Help)
	}
	return b.String()
}
