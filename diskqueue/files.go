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
// recently used one that nobody is using.
type fileCache struct {
	fs  vfs.FS
	max int

	mu   sync.Mutex // guards lru and every segment's handle
	lru  list.List  // of *fileHandle, most recently used first
	open int
}

type fileHandle struct {
	vfs.File
	seg  *segment
	refs int
	elem *list.Element // nil once forgotten
}

// acquire returns the open file of a segment; release gives it back. A segment
// that was forgotten is not opened again.
func (c *fileCache) acquire(s *segment) (*fileHandle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.forgotten {
		return nil, fmt.Errorf("%s: %w", s.path, ErrNotFound)
	}
	if h := s.handle; h != nil {
		h.refs++
		c.lru.MoveToFront(h.elem)
		return h, nil
	}
	c.evict()
	f, err := c.fs.Open(s.path)
	if err != nil {
		return nil, err
	}
	return c.put(s, f), nil
}

// adopt takes over a file that was just created for s; the caller holds it
// until release.
func (c *fileCache) adopt(s *segment, f vfs.File) *fileHandle {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict()
	return c.put(s, f)
}

func (c *fileCache) put(s *segment, f vfs.File) *fileHandle {
	h := &fileHandle{File: f, seg: s, refs: 1}
	h.elem = c.lru.PushFront(h)
	s.handle = h
	c.open++
	return h
}

// evict closes idle files until there is room for one more.
func (c *fileCache) evict() {
	for e := c.lru.Back(); e != nil && c.open >= c.max; {
		h := e.Value.(*fileHandle)
		e = e.Prev()
		if h.refs == 0 {
			c.drop(h)
		}
	}
}

// drop closes a file that nobody uses.
func (c *fileCache) drop(h *fileHandle) {
	c.lru.Remove(h.elem)
	h.elem = nil
	h.seg.handle = nil
	c.open--
	// What was written through it was answered for by WriteAt and Sync.
	h.File.Close()
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
// good. idle says whether it was the former.
func (c *fileCache) forget(s *segment) (idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.forgotten = true
	h := s.handle
	if h == nil {
		return true
	}
	if h.refs == 0 {
		c.drop(h)
		return true
	}
	c.lru.Remove(h.elem)
	h.elem = nil
	s.handle = nil
	c.open--
	return false
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
