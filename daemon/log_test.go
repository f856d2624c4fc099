package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"qmq/config"
)

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, "[p] ", slog.LevelInfo)
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

func TestLevelsHaveTheNamesOfNsqd(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug - 4: "DEBUG", slog.LevelDebug: "DEBUG", slog.LevelInfo: "INFO", slog.LevelWarn: "WARNING",
		slog.LevelError: "ERROR", config.LevelFatal: "FATAL",
	} {
		if got := levelName(level); got != want {
			t.Errorf("%d is %s, want %s", level, got, want)
		}
	}
}
