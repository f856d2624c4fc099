// Package filereload holds what files say, and follows them while a daemon runs.
// It looks at them when somebody is about to use what they hold, at most every
// few seconds, so it has no goroutine and needs nothing to be watched.
package filereload

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Every is how long files are taken to be what they were.
const Every = 2 * time.Second

// Value is what the newest good state of some files says. Its methods may be
// called concurrently.
type Value[T any] struct {
	o       Options[T]
	current atomic.Pointer[T]

	// looking is held while the files are looked at and read; it guards what
	// follows. Only who comes to look waits for that; others go on with what there
	// is.
	looking sync.Mutex
	next    time.Time     // when to look again
	seen    []os.FileInfo // the files as they were last read, good or bad; nil: one is missing
}

// Options say which files, and what they are.
type Options[T any] struct {
	What  string   // it is, for the log
	Names []string // of the files; empty ones are left out
	// Read reads all of them; before is what they said until now, nil at first.
	// It changes nothing, since it may fail, and is not called concurrently.
	Read   func(before *T) (*T, error)
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Open reads the files. From then on they are followed.
func Open[T any](o Options[T]) (*Value[T], error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	var names []string
	for _, name := range o.Names {
		if name != "" {
			names = append(names, name)
		}
	}
	o.Names = names
	v := &Value[T]{o: o}
	if err := v.Reload(); err != nil {
		return nil, err
	}
	return v, nil
}

// OpenText is Open for one file. parse gets its text, and what it said before, nil
// at first; its errors name the file.
func OpenText[T any](what, name string, parse func(text []byte, before *T) (*T, error), log *slog.Logger) (*Value[T], error) {
	read := func(before *T) (*T, error) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		now, err := parse(text, before)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return now, nil
	}
	return Open(Options[T]{What: what, Names: []string{name}, Read: read, Logger: log})
}

// Now is what the files say. It looks at them if that was not done lately; if
// they are no good, what they said before holds on.
func (v *Value[T]) Now() *T {
	v.look()
	return v.current.Load()
}

// Reload reads the files now, changed or not. If they are no good, what they said
// before holds on.
func (v *Value[T]) Reload() error {
	v.looking.Lock()
	defer v.looking.Unlock()
	seen, err := v.stat()
	if err != nil {
		return err
	}
	v.seen = seen
	return v.read()
}

// look reads the files if they are not those that were last read, and logs
// what came of it. Several that belong together may be replaced one after the
// other: what does not fit is read again when the next one is there.
func (v *Value[T]) look() {
	if !v.looking.TryLock() {
		return
	}
	defer v.looking.Unlock()
	now := v.o.Now()
	if now.Before(v.next) {
		return
	}
	v.next = now.Add(Every)
	seen, err := v.stat()
	if err != nil {
		if v.seen == nil {
			return // it was said before that a file is missing
		}
	} else if same(seen, v.seen) {
		return
	}
	v.seen = seen
	if err == nil {
		err = v.read()
	}
	if err != nil {
		v.o.Logger.Warn(v.o.What+" not changed", slog.Any("error", err))
		return
	}
	v.o.Logger.Info(v.o.What+" changed", slog.String("file", v.o.Names[0]))
}

// read makes what the files say now what holds. looking is held.
func (v *Value[T]) read() error {
	now, err := v.o.Read(v.current.Load())
	if err == nil {
		v.current.Store(now)
	}
	return err
}

func (v *Value[T]) stat() ([]os.FileInfo, error) {
	seen := make([]os.FileInfo, len(v.o.Names))
	for i, name := range v.o.Names {
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
