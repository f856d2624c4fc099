package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestRestoreGoesOnWhereItWasInterrupted(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	file := filepath.Join(dir, "t.jsonl")
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, `{"topic":"t","body":"message %d"}`+"\n", i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := begin(t, strings.NewReader(""), "restore", file, "--rate=5", "--addr="+s.tcp) // which takes minutes
	eventually(t, "some are published", func() bool { return s.figures("t").MessageCount > 5 })
	if code := r.stop(); code != exitInterrupted || !strings.Contains(r.errors.String(), "the same command goes on from there") {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if n := s.figures("t").MessageCount; n >= 500 {
		t.Errorf("%d are published already", n)
	}
	wantRefusal(t, exitFailed, "was restored in part to other nodes or another topic", "restore", file, "--topic=other", "--addr="+s.tcp)
	must(t, "", "restore", file, "--addr="+s.tcp)
	if n := s.figures("t").MessageCount; n != 500 {
		t.Errorf("%d are published", n)
	}
	if files := archived(t, dir); len(files) != 1 {
		t.Errorf("it leaves %v", files)
	}
}

func TestRestoreOfLinesNeedsATopic(t *testing.T) {
	s, file := startServer(t), filepath.Join(t.TempDir(), "t.log")
	if err := os.WriteFile(file, []byte("one\n\ntwo\ncut sho"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, exitFailed, "--topic says where they go", "restore", file, "--addr="+s.tcp)
	if r := q(t, "", "restore", file, "--topic=t", "--addr="+s.tcp); r.code != exitFailed || r.out != "2 messages of 1 file published\n" || !strings.Contains(r.errors, "breaks after line 3: the file ends in the middle of a message (2 messages of it published now)") {
		t.Errorf("exit code %d, %s%s", r.code, r.out, r.errors)
	}
}

// objects are lines of an archive of topic t.
func objects(n int, body string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"topic":"t","body":"%s %d"}`+"\n", body, i)
	}
	return text.String()
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// interruptedRestore begins to restore files and interrupts that when more than so
// many messages are published. It returns how many are then.
func interruptedRestore(t *testing.T, s *server, more int64, args ...string) int64 {
	t.Helper()
	r := begin(t, strings.NewReader(""), append([]string{"restore", "--rate=300", "--addr=" + s.tcp}, args...)...)
	eventually(t, "some are published", func() bool { return s.figures("t").MessageCount > more })
	if code := r.stop(); code != exitInterrupted {
		t.Fatalf("exit code %d, %s", code, r.errors)
	}
	return s.figures("t").MessageCount
}

// TestRestoreKnowsFilesOfOneNameApart, whose notes are in one directory.
func TestRestoreKnowsFilesOfOneNameApart(t *testing.T) {
	s, dir, state := startServer(t), t.TempDir(), "--state-dir="+t.TempDir()
	first := writeFile(t, filepath.Join(dir, "1", "o.jsonl"), objects(500, "first"))
	second := writeFile(t, filepath.Join(dir, "2", "o.jsonl"), objects(300, "second"))
	n := interruptedRestore(t, s, 50, state, first)
	must(t, "", "restore", state, second, "--addr="+s.tcp)
	if got := s.figures("t").MessageCount; got != n+300 {
		t.Errorf("%d of the second are published", got-n)
	}
	must(t, "", "restore", state, first, "--addr="+s.tcp)
	if got := s.figures("t").MessageCount; got != 800 {
		t.Errorf("%d are published", got)
	}
}

// TestRestoreOfAReplacedFileBeginsAnew and says so; one that has grown is the same.
func TestRestoreOfAReplacedFileBeginsAnew(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	file := writeFile(t, filepath.Join(dir, "o.jsonl"), objects(500, "first"))
	interruptedRestore(t, s, 50, file)
	writeFile(t, file, objects(600, "first"))
	n := interruptedRestore(t, s, 100, file)
	if r := q(t, "", "restore", file, "--addr="+s.tcp); r.code != exitOK || r.errors != "" || r.out != fmt.Sprintf("%d messages of 1 file published\n", 600-n) {
		t.Errorf("grown: %+v", r)
	}
	interruptedRestore(t, s, 650, file)
	n = s.figures("t").MessageCount
	writeFile(t, file, objects(500, "other"))
	r := q(t, "", "restore", file, "--addr="+s.tcp)
	if got := s.figures("t").MessageCount; r.code != exitOK || got != n+500 || !strings.Contains(r.errors, "is not the file that was restored in part") {
		t.Errorf("replaced: %d are published, %+v", got-n, r)
	}
}

// TestRestoreThatIsRepeatedPublishesNoFileTwice, also none that was done.
func TestRestoreThatIsRepeatedPublishesNoFileTwice(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	first := writeFile(t, filepath.Join(dir, "a.jsonl"), objects(100, "first"))
	second := writeFile(t, filepath.Join(dir, "b.jsonl"), objects(500, "second"))
	interruptedRestore(t, s, 150, first, second)
	must(t, "", "restore", first, second, "--addr="+s.tcp)
	if got := s.figures("t").MessageCount; got != 600 {
		t.Errorf("%d are published", got)
	}
	if files := archived(t, dir); len(files) != 2 {
		t.Errorf("it leaves %v", files)
	}
}

// TestRestoreSaysWhereFilesBreak: what is before that is published, so are the
// other files, and that is no success; nor does it publish anything again.
func TestRestoreSaysWhereFilesBreak(t *testing.T) {
	text := objects(100, "message")
	var zipped, framed bytes.Buffer
	z := gzip.NewWriter(&zipped)
	f, err := zstd.NewWriter(&framed)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.SplitAfter(text, "\n") { // members of 50 lines
		z.Write([]byte(line))
		f.Write([]byte(line))
		if i == 49 {
			z.Close()
			f.Close()
			z.Reset(&zipped)
			f.Reset(&framed)
		}
	}
	z.Close()
	f.Close()
	for _, c := range []struct {
		name, text, why string
		least, most     int64 // messages
	}{
		{"half.jsonl", text[:len(text)/2+3], "ends in the middle of a message", 49, 51},
		{"half.jsonl.gz", zipped.String()[:zipped.Len()-12], "cut short", 50, 100},
		{"half.jsonl.zst", framed.String()[:framed.Len()-12], "cut short", 50, 100},
		{"damaged.jsonl.gz", zipped.String() + strings.Repeat("x", 50), "invalid header", 100, 100},
		{"damaged.jsonl.zst", framed.String() + strings.Repeat("x", 50), "magic number", 100, 100},
		{"garbage.jsonl.gz", strings.Repeat("x", 50), "breaks after line 0", 0, 0},
		{"garbage.jsonl.zst", strings.Repeat("x", 50), "breaks after line 0", 0, 0},
		{"short.jsonl.zst", "x", "breaks after line 0", 0, 0},
		{"line.jsonl", objects(3, "m") + "no object\n" + text, "line 4: not an object", 3, 3},
	} {
		s, dir := startServer(t), t.TempDir()
		file := writeFile(t, filepath.Join(dir, c.name), c.text)
		whole := writeFile(t, filepath.Join(dir, "whole.jsonl"), objects(10, "other"))
		for range 2 {
			r := q(t, "", "restore", file, whole, "--addr="+s.tcp)
			if got := s.figures("t").MessageCount - 10; r.code != exitFailed || got < c.least || got > c.most || !strings.Contains(r.errors, file+" breaks after line") || !strings.Contains(r.errors, c.why) {
				t.Errorf("%s: %d of it are published, %+v", c.name, got, r)
			}
		}
	}
}

// TestRestorePublishesALastObjectThatIsNotEnded.
func TestRestorePublishesALastObjectThatIsNotEnded(t *testing.T) {
	s := startServer(t)
	file := writeFile(t, filepath.Join(t.TempDir(), "o.jsonl"), strings.TrimSpace(objects(3, "m")))
	if out := must(t, "", "restore", file, "--addr="+s.tcp); out != "3 messages of 1 file published\n" || s.figures("t").MessageCount != 3 {
		t.Error(out)
	}
}

// TestTwoRestoresOfOneFileDoNotShareANote: the second one is refused and says what
// to do, and what it had a note of stays as it was.
func TestTwoRestoresOfOneFileDoNotShareANote(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	file := writeFile(t, filepath.Join(dir, "t.jsonl"), objects(500, "message"))
	other := writeFile(t, filepath.Join(dir, "other.jsonl"), objects(1, "other"))
	r := begin(t, strings.NewReader(""), "restore", file, "--rate=1", "--addr="+s.tcp)
	eventually(t, "some are published", func() bool { return s.figures("t").MessageCount > 0 })
	wantRefusal(t, exitFailed, "is being restored by another q: wait for it", "restore", other, file, "--addr="+s.tcp)
	must(t, "", "restore", file, "--topic=elsewhere", "--state-dir="+t.TempDir(), "--addr="+s.tcp)
	if code := r.stop(); code != exitInterrupted {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	must(t, "", "restore", other, file, file, "--addr="+s.tcp)
	if n := s.figures("t").MessageCount; n != 501 {
		t.Errorf("%d are published", n)
	}
	if files := archived(t, dir); len(files) != 2 {
		t.Errorf("it leaves %v", files)
	}
}
