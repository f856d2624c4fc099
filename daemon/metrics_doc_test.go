package daemon

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"qmq/api"
	"qmq/internal/metrics"
	"qmq/lookup"
)

var writeDocs = flag.Bool("write-docs", false, "write docs/metrics.md anew")

// metricsPage is docs/metrics.md.
func metricsPage() string {
	node, topics, set := api.MetricFamilies()
	return `# Metrics

What ` + "`GET /metrics`" + ` of the daemons tells Prometheus, made of what the code declares (` + "`go test ./daemon -run MetricsPage -write-docs`" + `).

- The answer is Prometheus' text format, or protocol buffers for who asks for them (as Prometheus does with native histograms enabled): these have native histograms beside the
  classic buckets, which end at powers of 4 of a second. It is not compressed.
- Where there are roles, qd wants ` + "`stats`" + `. Beside the families below there are those of the Go runtime and the process (` + "`go_…`, `process_…`" + `), and a ` + "`…_build_info`" + `.
- Counters begin at 0 with the process. Histograms of channels begin with the channel or the start.
- ` + "`--metrics-max-topics`" + ` (1000) topics of a node have series of their own, with their channels. All others are summed as topic and channel ` + "`other`" + `; who has series of its own keeps
  them, and the sum's counters never go back when a topic is deleted. A topic that is called ` + "`other`" + ` is always part of the sum.
- Alert rules and a dashboard are in [deploy/prometheus](../deploy/prometheus) and [deploy/grafana](../deploy/grafana); what to do when one fires is in [runbooks.md](runbooks.md).

## qd: the node
` + metrics.Markdown(node) + `
## qd: topics and channels
` + metrics.Markdown(topics) + `
## qd: a set of replicas
` + metrics.Markdown(set) + `
## qlookupd
` + metrics.Markdown(lookup.MetricFamilies()) + `
qadmin tells of its lines of attention at ` + "`/metrics`" + ` as well, see [operations.md](operations.md#what-to-watch).
`
}

func TestMetricsPageIsCurrent(t *testing.T) {
	const file = "../docs/metrics.md"
	if *writeDocs {
		if err := os.WriteFile(file, []byte(metricsPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != metricsPage() {
		t.Error("docs/metrics.md is not what the code declares: go test ./daemon -run MetricsPage -write-docs")
	}
}

// TestRulesAndDashboardsNameMetricsThatThereAre (test/deploy has Prometheus read them).
func TestRulesAndDashboardsNameMetricsThatThereAre(t *testing.T) {
	known := make(map[string]bool)
	node, topics, set := api.MetricFamilies()
	for _, list := range [][]*metrics.Family{node, topics, set, lookup.MetricFamilies()} {
		for _, f := range list {
			known[f.Name] = true
			if f.Kind == metrics.Histogram {
				known[f.Name+"_bucket"], known[f.Name+"_sum"], known[f.Name+"_count"] = true, true, true
			}
		}
	}
	named := regexp.MustCompile(`\bq(?:d|lookupd)_[a-z_]+\b`)
	files := append(glob(t, "../deploy/prometheus/*.yml"), glob(t, "../deploy/grafana/*.json")...)
	if len(files) < 3 {
		t.Fatalf("there are %v", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			if !known[name] {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
