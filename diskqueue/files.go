package diskqueue

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"qmq/internal/vfs"
)

// fileCache keeps a bounded number of segment files open. It closes the least
// recently used one that nobody is using. A file that takes long to open or to
// close delays nobody but those who need that file.
type fileCache struct {
	fs  vfs.FS
	max int

	// mu guards what follows and the handle, opening and forgotten of every
	// segment. It is held for moments, across no I/O.
	mu   sync.Mutex
	lru  list.List // of *fileHandle, most recently used first
	open int       // files in lru or being opened
}

type fileHandle struct {
	vfs.File
	seg  *segment
	refs int
	elem *list.Element // nil once forgotten
}

var _ vfs.File = (*fileHandle)(nil)

// opening is a file being opened, for all who need it.
type opening struct {
	done chan struct{}
	err  error // set before done is closed
}

// acquire returns the open file of a segment; release gives it back. A segment
// that was forgotten is not opened again.
func (c *fileCache) acquire(s *segment) (*fileHandle, error) {
	for {
		c.mu.Lock()
		h, err := c.held(s)
		if h != nil || err != nil {
			c.mu.Unlock()
			return h, err
		}
		if o := s.opening; o != nil {
			c.mu.Unlock()
			if <-o.done; o.err != nil {
				return nil, o.err
			}
			continue // and it may have been closed again meanwhile
		}
		o := &opening{done: make(chan struct{})}
		s.opening = o
		c.open++
		idle := c.evict(c.max)
		c.mu.Unlock()
		closeAll(idle)
		return c.openFor(s, o)
	}
}

// held takes a reference on the open file of s; nil when there is none. The
// caller holds c.mu.
func (c *fileCache) held(s *segment) (*fileHandle, error) {
	if s.forgotten {
		return nil, fmt.Errorf("%s: %w", s.path, ErrNotFound)
	}
	h := s.handle
	if h != nil {
		h.refs++
		c.lru.MoveToFront(h.elem)
	}
	return h, nil
}

// openFor opens the file of s, for the caller and all who wait for o.
func (c *fileCache) openFor(s *segment, o *opening) (*fileHandle, error) {
	f, err := c.fs.Open(s.path)
	c.mu.Lock()
	s.opening = nil
	late := err == nil && s.forgotten
	if s.forgotten { // and removed, perhaps before it was opened
		err = fmt.Errorf("%s: %w", s.path, ErrNotFound)
	}
	var h *fileHandle
	if err == nil {
		h = c.put(s, f)
	} else {
		c.open--
	}
	c.mu.Unlock()
	o.err = err
	close(o.done)
	if late {
		f.Close() // of a removed file
	}
	return h, err
}

// adopt takes over a file that was just created for s; the caller holds it
// until release.
func (c *fileCache) adopt(s *segment, f vfs.File) *fileHandle {
	c.mu.Lock()
	c.open++
	idle := c.evict(c.max)
	h := c.put(s, f)
	c.mu.Unlock()
	closeAll(idle)
	return h
}

// put makes f the open file of s. The caller holds c.mu and has counted it.
func (c *fileCache) put(s *segment, f vfs.File) *fileHandle {
	h := &fileHandle{File: f, seg: s, refs: 1}
	h.elem = c.lru.PushFront(h)
	s.handle = h
	return h
}

// evict takes idle files out until at most max are open, and returns them to
// be closed without the lock. The caller holds c.mu.
func (c *fileCache) evict(max int) (idle []*fileHandle) {
	for e := c.lru.Back(); e != nil && c.open > max; {
		h := e.Value.(*fileHandle)
		e = e.Prev()
		if h.refs == 0 {
			c.takeOut(h)
			idle = append(idle, h)
		}
	}
	return idle
}

// giveWay closes some of the idle files, those that were used last excepted,
// and says whether there were any.
func (c *fileCache) giveWay() bool {
	c.mu.Lock()
	idle := c.evict(c.open / 2)
	c.mu.Unlock()
	closeAll(idle)
	return len(idle) > 0
}

// takeOut takes a file out of the cache. The caller holds c.mu.
func (c *fileCache) takeOut(h *fileHandle) {
	c.lru.Remove(h.elem)
	h.elem = nil
	h.seg.handle = nil
	c.open--
}

// closeAll closes files that nobody uses. What was written through them was
// answered for by WriteAt and Sync.
func closeAll(idle []*fileHandle) {
	for _, h := range idle {
		h.File.Close()
	}
}

func (c *fileCache) release(h *fileHandle) {
	c.mu.Lock()
	h.refs--
	last := h.refs == 0 && h.elem == nil
	c.mu.Unlock()
	if last {
		h.File.Close() // of a removed file: it may take a while
	}
}

// forget closes the file of s, at once or when its last user is done, for
// good. idle says whether nobody can have it open any more.
func (c *fileCache) forget(s *segment) (idle bool) {
	c.mu.Lock()
	s.forgotten = true
	h := s.handle
	if h == nil {
		idle = s.opening == nil
		c.mu.Unlock()
		return idle
	}
	c.takeOut(h)
	idle = h.refs == 0
	c.mu.Unlock()
	if idle {
		h.File.Close()
	}
	return idle
}

// remember undoes forget.
func (c *fileCache) remember(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.forgotten = false
}

// readFull reads len(b) bytes at off. The end of the file is io.EOF, with what
// was there before it.
func readFull(f io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return n, nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// isEnd says that a file is shorter than what was to be read.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func isExist(err error) bool { return errors.Is(err, fs.ErrExist) }
