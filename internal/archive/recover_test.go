package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// namedIn are options of files in a directory.
func namedIn(dir, format string) Options {
	return Options{Dir: dir, Naming: Naming{Format: format, DateTime: "%Y"}}
}

// wantLines reads all files of a directory: each of n lines is there once.
func wantLines(t *testing.T, dir string, n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, file := range files {
		in, err := Open(file)
		if err != nil {
			t.Fatal(err)
		}
		for {
			line, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			seen[string(line)]++
		}
		in.Close()
		if strings.Contains(file, "part") {
			t.Errorf("%s is left", file)
		}
	}
	for i := range n {
		if got := seen[fmt.Sprint("message ", i)]; got != 1 {
			t.Fatalf("message %d is there %d times", i, got)
		}
	}
}

// TestStartOfASecondWriterTakesNothingOfTheFirst: what is written, completed and
// taken over at the same time in one directory is there once, and nobody fails.
func TestStartOfASecondWriterTakesNothingOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 4, 150
	var writing, starting sync.WaitGroup
	ended := make(chan struct{})
	for range 3 {
		starting.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				if _, err := Recover(namedIn(dir, "x<REV>")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range writers {
		writing.Go(func() {
			w, err := NewWriter("t", namedIn(dir, "x<REV>"))
			if err != nil {
				t.Error(err)
				return
			}
			for n := range each {
				err := w.Append(time.Now(), fmt.Appendf(nil, "message %d", i*each+n))
				synced := w.Sync()
				_, finished := w.Finish()
				if err = errors.Join(err, synced, finished); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(ended)
	starting.Wait()
	if _, err := Recover(namedIn(dir, "x<REV>")); err != nil {
		t.Error(err)
	}
	wantLines(t, dir, writers*each)
}

// TestFileThatHasItsNameAlreadyIsOnlyFinished: a process was killed after it gave
// the name and before it took the other one away.
func TestFileThatHasItsNameAlreadyIsOnlyFinished(t *testing.T) {
	dir := t.TempDir()
	final := filepath.Join(dir, "x-000000")
	for _, err := range []error{os.WriteFile(final+partial, []byte("message 0\n"), 0o600), os.Link(final+partial, final)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Recover(namedIn(dir, "x<REV>")); err != nil {
		t.Fatal(err)
	}
	wantLines(t, dir, 1)
}

// left makes the file that a killed writer leaves: n messages that were synced,
// and then what was not.
func left(t *testing.T, o Options, n int, more string) (path string, synced []byte) {
	t.Helper()
	w, err := NewWriter("t", o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := errors.Join(w.Append(time.Unix(0, 0), fmt.Appendf(nil, "message %d", i)), w.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	synced, err = os.ReadFile(w.Path())
	if err == nil {
		_, err = w.file.WriteString(more)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.file.Close()
	return w.Path(), synced
}

// TestKilledFileIsCompletedWhereItIs: no byte that was synced is written again,
// and only what was torn is beside it.
func TestKilledFileIsCompletedWhereItIs(t *testing.T) {
	for _, c := range []Compression{None, Gzip, Zstd} {
		member, _ := left(t, Options{Dir: t.TempDir(), Naming: Naming{Format: "x<REV>"}, Compression: c}, 1, "")
		whole, err := os.ReadFile(member)
		if err != nil {
			t.Fatal(err)
		}
		for _, torn := range []string{"", string(whole[:len(whole)-1]), "\x00\x00\x00\x00", "x"} {
			o := namedIn(t.TempDir(), "x<REV>")
			o.Compression = c
			path, synced := left(t, o, 50, torn)
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			found, err := Recover(o)
			if err != nil || len(found) != 1 || found[0].Lines != 50 || (found[0].Torn != "") != (torn != "") {
				t.Fatalf("%s, torn %q: %+v, %v", c, torn, found, err)
			}
			final := filepath.Join(o.Dir, "x-000000"+string(c))
			if after, err := os.Stat(final); err != nil || !os.SameFile(before, after) {
				t.Errorf("%s, torn %q: it is another file, %v", c, torn, err)
			}
			if text, err := os.ReadFile(final); err != nil || string(text) != string(synced) {
				t.Errorf("%s, torn %q: its bytes are others, %v", c, torn, err)
			}
			if torn != "" {
				if text, err := os.ReadFile(final + ".torn"); err != nil || string(text) != torn || os.Remove(final+".torn") != nil {
					t.Errorf("%s, torn %q: kept is %q, %v", c, torn, text, err)
				}
			}
			wantLines(t, o.Dir, 50)
		}
	}
}

// TestTornEndThatCannotBeKeptChangesNothing, and leaves nothing.
func TestTornEndThatCannotBeKeptChangesNothing(t *testing.T) {
	o := namedIn(t.TempDir(), "x<REV>")
	path, synced := left(t, o, 3, "torn")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	file.Close() // so that nothing can be read of it
	if _, err := saveTail(file, int64(len(synced)), int64(len(synced))+4, path+".torn"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(o.Dir, "*")); len(files) != 1 || files[0] != path {
		t.Errorf("it leaves %v", files)
	}
}

// TestDiskThatCannotBeReadIsNoTornEnd: nothing is cut off.
func TestDiskThatCannotBeReadIsNoTornEnd(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []Compression{None, Gzip, Zstd} {
		if _, _, err := wholeLines(readFails{broken}, 100, c); !errors.Is(err, broken) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

type readFails struct{ err error }

func (r readFails) ReadAt([]byte, int64) (int, error) { return 0, r.err }

// TestFilesOfOthersAreNotTouched, whatever they are called and wherever they are.
func TestFilesOfOthersAreNotTouched(t *testing.T) {
	o := namedIn(t.TempDir(), "in-<DATETIME>/<TOPIC>.d/x<REV>")
	o.DateTime = "%D"
	others := []string{
		"download.iso.part", "firefox.part", "in-01/01/70/t.d/video.mp4.part", "top.q-part", "in-01/01/70/t.d/deeper/x.q-part",
		"else/01/70/t.d/x.q-part", "in-01/01/70/t.e/x.q-part",
	}
	for _, name := range append(others, "in-01/01/70/t.d/ours.q-part") {
		path := filepath.Join(o.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("whole\ntorn"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Recover(o)
	if err != nil || len(found) != 1 || found[0].Path != filepath.Join(o.Dir, "in-01/01/70/t.d/ours") {
		t.Errorf("%+v, %v", found, err)
	}
	for _, name := range others {
		if text, err := os.ReadFile(filepath.Join(o.Dir, name)); err != nil || string(text) != "whole\ntorn" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// TestWorkDirectoryElsewhereIsRefusedAtOnce, and nothing is left of the trial.
func TestWorkDirectoryElsewhereIsRefusedAtOnce(t *testing.T) {
	o := namedIn(filepath.Join(t.TempDir(), "out"), "x<REV>")
	o.WorkDir = filepath.Join(t.TempDir(), "work")
	elsewhere := errors.New("invalid cross-device link")
	err := checkPlace(o, func(string, string) error { return elsewhere })
	if !errors.Is(err, elsewhere) || !strings.Contains(err.Error(), "--work-dir "+o.WorkDir) {
		t.Errorf("%v", err)
	}
	if err := CheckPlace(o); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{o.Dir, o.WorkDir} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v, %v", dir, entries, err)
		}
	}
}
