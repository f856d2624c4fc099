// Package filereload follows files that change while a daemon runs. It looks at
// them when somebody is about to use what they hold, at most every few
// seconds, so it has no goroutine and needs nothing to be watched.
package filereload

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// Every is how long files are taken to be what they were.
const Every = 2 * time.Second

// Files are read together. The methods may be called concurrently.
type Files struct {
	what  string // for the log
	names []string
	read  func() error
	log   *slog.Logger
	now   func() time.Time

	// looking is held while the files are looked at and read. Only who comes
	// to look waits for that; others go on with what there is.
	looking sync.Mutex
	next    time.Time     // when to look again
	seen    []os.FileInfo // the files as they were last read, good or bad; nil: one is missing
}

// New follows the files with the given names; empty names are left out. read
// reads all of them and puts what it found to use, or fails and changes
// nothing. It is not called concurrently.
func New(what string, names []string, read func() error, log *slog.Logger, now func() time.Time) *Files {
	f := &Files{what: what, read: read, log: log, now: now}
	for _, name := range names {
		if name != "" {
			f.names = append(f.names, name)
		}
	}
	return f
}

// Reload reads the files now, changed or not.
func (f *Files) Reload() error {
	f.looking.Lock()
	defer f.looking.Unlock()
	seen, err := f.stat()
	if err != nil {
		return err
	}
	f.seen = seen
	return f.read()
}

// Look reads the files if they are not those that were last read, and logs
// what came of it. Several that belong together may be replaced one after the
// other: what does not fit is read again when the next one is there.
func (f *Files) Look() {
	if !f.looking.TryLock() {
		return
	}
	defer f.looking.Unlock()
	now := f.now()
	if now.Before(f.next) {
		return
	}
	f.next = now.Add(Every)
	seen, err := f.stat()
	if err != nil {
		if f.seen == nil {
			return // it was said before that a file is missing
		}
	} else if same(seen, f.seen) {
		return
	}
	f.seen = seen
	if err == nil {
		err = f.read()
	}
	if err != nil {
		f.log.Warn(f.what+" not changed", slog.Any("error", err))
		return
	}
	f.log.Info(f.what+" changed", slog.String("file", f.names[0]))
}

func (f *Files) stat() ([]os.FileInfo, error) {
	seen := make([]os.FileInfo, len(f.names))
	for i, name := range f.names {
		var err error
		if seen[i], err = os.Stat(name); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
