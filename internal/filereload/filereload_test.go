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

// texts is a value that adds each text of its file to those before.
type texts struct {
	t    *testing.T
	name string
	now  time.Time
	log  bytes.Buffer
}

func newTexts(t *testing.T) *texts {
	return &texts{t: t, name: filepath.Join(t.TempDir(), "file"), now: time.Unix(1e9, 0)}
}

func (f *texts) open() (*Value[string], error) {
	read := func(before *string) (*string, error) {
		text, err := os.ReadFile(f.name)
		if err == nil && string(text) == "bad" {
			err = errors.New("no good")
		}
		if err != nil {
			return nil, err
		}
		all := string(text)
		if before != nil {
			all = *before + " " + all
		}
		return &all, nil
	}
	return Open(Options[string]{
		What: "thing", Names: []string{"", f.name}, Read: read,
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Now: func() time.Time { return f.now },
	})
}

func (f *texts) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.name, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func TestFilesAreReadWhenTheyChangeAndOnlyThen(t *testing.T) {
	f := newTexts(t)
	if _, err := f.open(); err == nil {
		t.Error("a file that is not there is read")
	}
	f.write("a")
	v, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		write string
		after time.Duration
		says  string
		log   string
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
			f.write(step.write)
		}
		f.log.Reset()
		f.now = f.now.Add(step.after)
		if now := *v.Now(); now != step.says || (f.log.Len() > 0) != (step.log != "") || !strings.Contains(f.log.String(), step.log) {
			t.Errorf("after %q: %s; %s", step.write, now, f.log.String())
		}
	}
}

func TestFileThatIsGoneIsToldOnceAndReadWhenItIsBack(t *testing.T) {
	f := newTexts(t)
	f.write("a")
	v, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	look := func() string {
		f.log.Reset()
		f.now = f.now.Add(Every)
		return *v.Now()
	}
	if err := os.Remove(f.name); err != nil {
		t.Fatal(err)
	}
	if now := look(); now != "a" || !strings.Contains(f.log.String(), "thing not changed") {
		t.Errorf("%s; %s", now, f.log.String())
	}
	if now := look(); now != "a" || f.log.Len() > 0 {
		t.Errorf("%s; %s", now, f.log.String())
	}
	if err := v.Reload(); err == nil || *v.Now() != "a" {
		t.Errorf("%s, %v", *v.Now(), err)
	}
	f.write("b")
	if now := look(); now != "a b" || !strings.Contains(f.log.String(), "thing changed") {
		t.Errorf("%s; %s", now, f.log.String())
	}
}

func TestErrorsOfATextNameItsFile(t *testing.T) {
	f := newTexts(t)
	f.write("text")
	_, err := OpenText("thing", f.name, func(text []byte, before *string) (*string, error) {
		return nil, errors.New(string(text) + " is no good")
	}, slog.New(slog.DiscardHandler))
	if err == nil || err.Error() != f.name+": text is no good" {
		t.Error(err)
	}
	if _, err = OpenText("thing", f.name+"x", func([]byte, *string) (*string, error) { return new(string), nil }, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is not there is read")
	}
	v, err := OpenText("thing", f.name, func(text []byte, _ *string) (*string, error) {
		s := string(text)
		return &s, nil
	}, slog.New(slog.DiscardHandler))
	if err != nil || *v.Now() != "text" {
		t.Error(err)
	}
}
