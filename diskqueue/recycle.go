package diskqueue

import (
	"fmt"
	"path/filepath"
	"sync"

	"qmq/internal/vfs"
)

// recycler keeps a few files of reclaimed segments for their next use: writing
// over pages that are cached already costs a tenth of writing new ones. What
// they hold is never read; the next use's salt sees to that.
type recycler struct {
	fs  vfs.FS
	dir string
	max int

	mu      sync.Mutex // guards what follows; held across no I/O
	names   []string
	next    int
	arrives int // files that give is renaming
}

// load finds the files that wait from a former run.
func (r *recycler) load() error {
	if r.dir == "" {
		return nil
	}
	if err := r.fs.MkdirAll(r.dir); err != nil {
		return err
	}
	entries, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d.seg", &n); err != nil || e.Name() != recycledName(n) {
			continue
		}
		r.next = max(r.next, n+1)
		path := filepath.Join(r.dir, e.Name())
		if len(r.names) < r.max {
			r.names = append(r.names, path)
		} else if err := r.fs.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func recycledName(n int) string { return fmt.Sprintf("%d%s", n, segmentSuffix) }

// give takes the file at path, whose descriptors are closed, or refuses it
// when enough are waiting. It is used again once moved has returned nil.
func (r *recycler) give(path string, moved func() error) bool {
	to, ok := r.admit()
	if !ok {
		return false
	}
	err := r.fs.Rename(path, to)
	if err == nil {
		if err = moved(); err != nil {
			r.fs.Remove(to)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrives--
	if err == nil {
		r.names = append(r.names, to)
	}
	return err == nil
}

// admit reserves a place and a name for one more file, unless enough wait.
func (r *recycler) admit() (name string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir == "" || len(r.names)+r.arrives >= r.max {
		return "", false
	}
	name = filepath.Join(r.dir, recycledName(r.next))
	r.next++
	r.arrives++
	return name, true
}

// take gives a waiting file a new header and moves it to path; ok is false
// when none waits or it cannot be used. The header comes first, so that a file
// of path never has that of its former use.
func (r *recycler) take(path string, header []byte) (f vfs.File, ok bool) {
	from, ok := r.pop()
	if !ok {
		return nil, false
	}
	f, err := r.fs.Open(from)
	if OutOfDescriptors(err) {
		r.putBack(from)
	}
	if err != nil {
		return nil, false // another start finds it again
	}
	if _, err = f.WriteAt(header, 0); err == nil {
		err = r.fs.Rename(from, path)
	}
	if err != nil {
		f.Close() // nothing in it matters
		r.fs.Remove(from)
		return nil, false
	}
	return f, true
}

// clear removes the waiting files, and says whether there were any.
func (r *recycler) clear() (any bool) {
	for {
		name, ok := r.pop()
		if !ok {
			return any
		}
		r.fs.Remove(name) // another start tries again
		any = true
	}
}

// putBack has a file that was popped, and is as it was, wait again.
func (r *recycler) putBack(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
}

func (r *recycler) pop() (name string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.names) == 0 {
		return "", false
	}
	name = r.names[len(r.names)-1]
	r.names = r.names[:len(r.names)-1]
	return name, true
}
