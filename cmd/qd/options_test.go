package main

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDashesAndDefaults(t *testing.T) {
	var stderr bytes.Buffer
	o, err := parseOptions([]string{"-tcp-address", "127.0.0.1:1", "--http-address=", "--msg-timeout=5s", "-verbose",
		"--sync-every=1", "--sync-every=7", "--log-level=WARN", "stray", "--nonsense"}, &stderr)
	if err != nil {
		t.Fatal(err, stderr.String())
	}
	if o.tcpAddress != "127.0.0.1:1" || o.httpAddress != "" || o.msgTimeout != 5*time.Second || o.syncEvery != 7 ||
		slog.Level(o.logLevel) != slog.LevelWarn {
		t.Errorf("got %+v", o)
	}
	if o.memQueueBytes != 256<<20 || o.maxRdyCount != 2500 || o.maxReqTimeout != time.Hour || o.maxMsgSize != 1<<20 {
		t.Errorf("defaults are %+v", o)
	}
	if len(o.without) != 0 {
		t.Errorf("without effect: %v", o.without)
	}
}

func TestAllMistakesAreReportedAtOnceWithTheirRange(t *testing.T) {
	var stderr bytes.Buffer
	_, err := parseOptions([]string{"--node-id=1024", "--sync-every=0", "--msg-timeout=1h", "--max-msg-size=0",
		"--data-path=/does/not/exist", "--tcp-address="}, &stderr)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"--node-id must be [0,1024), not 1024",
		"--sync-every must be [1,1099511627776], not 0",
		"--msg-timeout must be [1ms,15m0s], not 1h0m0s",
		"--max-msg-size must be [1,268435456], not 0",
		"--data-path: ",
		"--tcp-address must not be empty",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not in\n%s", want, stderr.String())
		}
	}
}

func TestFlagsForMachineryThatIsNotThereAreNamed(t *testing.T) {
	o, err := parseOptions([]string{"--queue-scan-selection-count=20", "--worker-id", "--verbose"}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.without, " "); got != "--queue-scan-selection-count --worker-id" {
		t.Errorf("got %s", got)
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	var stderr bytes.Buffer
	if _, err := parseOptions([]string{"--help"}, &stderr); !errors.Is(err, flag.ErrHelp) || !strings.Contains(stderr.String(), "-mem-queue-size") {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, "[p] ", slog.LevelInfo)
	log.Debug("unseen")
	log.Warn("two\nlines", "client", "a b", "empty", "", "n", 5)
	log.With("topic", "t").WithGroup("g").Error("x", "k", "v", slog.Group("h", "i", 1))
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || lines[2] != "" {
		t.Fatalf("got %q", lines)
	}
	for i, want := range []string{
		`WARNING: two\nlines client="a b" empty="" n=5`,
		`ERROR: x topic=t g.k=v g.h.i=1`,
	} {
		rest, ok := strings.CutPrefix(lines[i], "[p] ")
		if len(rest) < 27 || !ok {
			t.Fatalf("got %q", lines[i])
		}
		if _, err := time.Parse("2006/01/02 15:04:05.000000 ", rest[:27]); err != nil {
			t.Error(err)
		}
		if rest[27:] != want {
			t.Errorf("got %q, want %q", rest[27:], want)
		}
	}
}
