package readme

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmq/loadgen"
	"qmq/tools/benchdoc/table"
)

var update = flag.Bool("update", false, "write the README's figures anew")

// shown are the rows of the README's table: what they are called there, and
// the row of the comparison that they come from.
var shown = [][2]string{
	{"batches of 200 (MPUB), no channel", "MPUB 200, no channel"},
	{"the same, consumed through 1 channel", "MPUB 200, 1 channel"},
	{"4 channels, each of which gets all", "MPUB 200, 4 channels"},
	{"16 channels", "MPUB 200, 16 channels"},
	{"pipelined PUB, 1 channel", "PUB pipelined, 1 channel"},
	{"16 publishers, 16 consumers, pipelined PUB", "PUB pipelined, 16 publishers, 16 consumers"},
	{"1 publisher that waits for each OK", "PUB one at a time, 1 connection"},
	{"50 publishers that wait for each OK", "PUB one at a time, 50 connections"},
	{"64 publishers over HTTP, a message each", "HTTP /pub keep-alive, connections: 64"},
	{"HTTP batches of 200, 1 channel", "HTTP /mpub 200 binary, 1 channel"},
	{"batches, 1 channel, TLS", "MPUB 200, 1 channel, TLS"},
	{"batches, 1 channel, snappy", "MPUB 200, 1 channel, snappy"},
	{"bodies of 16 KiB, 1 channel", "bodies of 16 KiB, MPUB 60, 1 channel"},
	{"bodies of 256 KiB, 1 channel", "bodies of 256 KiB, MPUB 4, 1 channel"},
	{"a backlog of 2 million, drained by 1 consumer", "backlog of 2,000,000, consumers: 1"},
	{"all on disk (`--mem-queue-size=0`), 1 channel", "MPUB 200, 1 channel, no memory queue"},
	{"safe from power loss (`--sync-every=1`), 100 waiting publishers", "synced: PUB one at a time, 100 connections"},
}

const (
	beginFigures = "<!-- figures: go test ./test/readme -run Figures -update -->\n"
	endFigures   = "<!-- /figures -->\n"
)

// TestFiguresComeFromTheComparison: the README claims what was measured.
func TestFiguresComeFromTheComparison(t *testing.T) {
	path := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), beginFigures)
	_, after, ended := strings.Cut(rest, endFigures)
	if !begun || !ended {
		t.Fatal("the README has no place for figures")
	}
	want := before + beginFigures + figures(t) + endFigures + after
	switch {
	case string(text) == want:
	case *update:
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the README's figures are not those of docs/bench-compare.json; go test ./test/readme -run Figures -update")
	}
}

// figures draws the table.
func figures(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "bench-compare.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report table.Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]map[string]*table.Figure)
	for _, row := range report.Rows {
		rows[row.Name] = make(map[string]*table.Figure)
		for _, f := range row.Figures {
			rows[row.Name][f.Name] = f
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| messages of 200 B, %d cores shared with the client | %s | qd | ratio | server CPU per message |\n|---|--:|--:|--:|--:|\n",
		report.Machine.Cores, strings.Join(strings.Fields(strings.Replace(report.NSQD, " v", " ", 1))[:2], " "))
	for _, s := range shown {
		rate, cpu := rows[s[1]]["msg/s"], rows[s[1]]["server CPU µs/msg"]
		if rate == nil || cpu == nil {
			t.Fatalf("%s was not measured", s[1])
		}
		fmt.Fprintf(&b, "| %s | %s/s | %s/s | %.3g× | %.3g → %.3g µs |\n", s[0],
			loadgen.Count(rate.NSQD), loadgen.Count(rate.QD), rate.Ratio, cpu.NSQD, cpu.QD)
	}
	fmt.Fprintf(&b, "\nMedians of %d pairs, the two daemons run in turn on %s, default flags unless said, %s.\n",
		report.Pairs, report.Machine.CPU, report.Date.Format("2006-01-02"))
	return b.String()
}
