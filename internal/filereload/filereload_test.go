package filereload

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFilesAreReadWhenTheyChangeAndOnlyThen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	now := time.Unix(1e9, 0)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	var got []string
	read := func() error {
		text, err := os.ReadFile(name)
		if err == nil && string(text) == "bad" {
			return errors.New("no good")
		}
		got = append(got, string(text))
		return err
	}
	f := New("thing", []string{"", name}, read, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	if err := f.Reload(); err == nil {
		t.Error("a file that is not there is read")
	}
	write("a")
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		write string
		after time.Duration
		reads string
		said  string
	}{
		{"", Every, "a", ""},
		{"bc", Every, "a bc", "thing changed"},
		{"def", Every / 2, "a bc", ""}, // looked at a moment ago
		{"", Every, "a bc def", "thing changed"},
		{"bad", Every, "a bc def", "thing not changed"},
		{"", Every, "a bc def", ""}, // said once
		{"good", Every, "a bc def good", "thing changed"},
	} {
		if step.write != "" {
			write(step.write)
		}
		log.Reset()
		now = now.Add(step.after)
		f.Look()
		if s := strings.Join(got, " "); s != step.reads || (log.Len() > 0) != (step.said != "") || !strings.Contains(log.String(), step.said) {
			t.Errorf("after %q: %s; %s", step.write, s, log.String())
		}
	}
}
