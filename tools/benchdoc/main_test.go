package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmq/test/process"
	"qmq/tools/benchdoc/growth"
	"qmq/tools/benchdoc/table"
)

// benchdoc runs the tool.
func benchdoc(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(args, console{t.Context(), &out, &err})
	return code, out.String(), err.String()
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		said string
	}{
		"--help":                      {exitOK, "Usage: benchdoc <command>"},
		"table --help":                {exitOK, "--nsqd"},
		"":                            {exitUsage, "expected"},
		"table":                       {exitUsage, "--qd"},
		"table --qd=/no/such/binary":  {exitUsage, "/no/such/binary"},
		"set --help":                  {exitOK, "--pairs"},
		"set --qd=/bin/true --rows=(": {exitFailed, "--rows"},
		"set --qd=/bin/false":         {exitFailed, "false --version"},
		"peers --help":                {exitOK, "--nats-server"},
		"peers --qd=/bin/true":        {exitUsage, "--nats-server"},
		"peers --qd=/bin/true --nats-server=/bin/true --rows=(": {exitFailed, "--rows"},
		"peers --qd=/bin/true --nats-server=/bin/false":         {exitFailed, "false --version"},
		"table --qd=/bin/true --rows=(":                         {exitFailed, "--rows"},
		"growth --qd=/bin/true --rows=(":                        {exitFailed, "--rows"},
		"table --qd=/bin/false":                                 {exitFailed, "false --version"},
		"growth --qd=/bin/false --rows=x":                       {exitFailed, "false --version"},
	} {
		code, stdout, stderr := benchdoc(t, strings.Fields(args)...)
		if code != want.code || !strings.Contains(stdout+stderr, want.said) {
			t.Errorf("benchdoc %s: exit code %d\n%s\n%s", args, code, stdout, stderr)
		}
	}
}

func TestTableIsWrittenForPeopleAndPrograms(t *testing.T) {
	qd := filepath.Join(process.Build(t, "cmd/qd"), "qd")
	dir := t.TempDir()
	markdown, figures := filepath.Join(dir, "table.md"), filepath.Join(dir, "table.json")
	code, stdout, stderr := benchdoc(t, "table", "--qd="+qd, "--nsqd="+qd, "--quick", "--rows=^synced: PUB one at a time, 1 conn", "--dir="+dir, "--markdown="+markdown, "--out="+figures, "--json")
	if code != exitOK || !strings.Contains(stderr, "1 of 1") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	written, err := os.ReadFile(figures)
	if err != nil || string(written) != stdout {
		t.Errorf("the file has %s, %v", written, err)
	}
	var report table.Report
	if err := json.Unmarshal(written, &report); err != nil || len(report.Rows) != 1 || len(report.Rows[0].Figures) == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if text, err := os.ReadFile(markdown); err != nil || !strings.Contains(string(text), "| synced: PUB one at a time, 1 connection") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestGrowthGoesIntoADocumentAndItsChart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is measured: it is about what is written
	document, chart := filepath.Join(dir, "page.md"), filepath.Join(dir, "chart.svg")
	if err := os.WriteFile(document, []byte("head\n<!-- growth -->\nold\n<!-- /growth -->\ntail\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	qd := filepath.Join(process.Build(t, "cmd/qd"), "qd")
	var stdout, stderr bytes.Buffer
	code := run([]string{"growth", "--qd=" + qd, "--quick", "--dir=" + dir, "--markdown=" + document, "--svg=" + chart}, console{ctx, &stdout, &stderr})
	if code != exitOK || !strings.HasPrefix(stdout.String(), "Measured ") {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout.String(), stderr.String())
	}
	if text, err := os.ReadFile(document); err != nil || string(text) != "head\n<!-- growth -->\n"+stdout.String()+"<!-- /growth -->\ntail\n" {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := os.ReadFile(chart); err != nil || !strings.HasPrefix(string(text), "<svg") {
		t.Errorf("%.50s, %v", text, err)
	}
}

func TestReportOfLostMessagesFails(t *testing.T) {
	unsound := &growth.Report{Series: []*growth.Series{{Name: "s", Quantity: "q", Fixed: "f", Lines: []*growth.Curve{{Daemon: "qd", Points: []growth.Point{{Figures: growth.Figures{Lost: 1}}}}}}}}
	if err := new(output).tell(console{t.Context(), io.Discard, io.Discard}, unsound); err != errUnsound {
		t.Errorf("%v", err)
	}
}
