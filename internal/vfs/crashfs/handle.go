package crashfs

import (
	"io/fs"
	"math"
	"syscall"

	"qmq/internal/vfs"
)

// handle is an open file. It is dead when the life it was opened in is over.
type handle struct {
	m      mount
	name   string
	file   *file
	closed bool
}

// open returns a handle that lives as long as the present life.
func (c *FS) open(name string, f *file) *handle {
	f.opens++
	return &handle{m: mount{c: c, life: c.life}, name: name, file: f}
}

// check finds what is wrong with a call on this offset, length or size.
func (h *handle) check(op Op, off int64, length int) error {
	switch {
	case h.m.life != h.m.c.life:
		return pathError(op, h.name, ErrCrashed)
	case h.closed:
		return pathError(op, h.name, fs.ErrClosed)
	case off < 0:
		return pathError(op, h.name, syscall.EINVAL)
	case off > math.MaxInt64-int64(length):
		return pathError(op, h.name, syscall.EFBIG)
	}
	return nil
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.m.begin(OpRead, h.name); err != nil {
		return 0, err
	}
	defer h.m.c.mu.Unlock()
	if err := h.check(OpRead, off, 0); err != nil {
		return 0, err
	}
	if h.file.broken(off, len(p)) {
		return 0, pathError(OpRead, h.name, syscall.EIO)
	}
	return h.file.now.bytes.ReadAt(p, off)
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	failed := h.m.begin(OpWrite, h.name)
	if failed != nil {
		h.m.c.mu.Lock()
	}
	defer h.m.c.mu.Unlock()
	if err := h.check(OpWrite, off, len(p)); err != nil {
		return 0, err
	}
	if failed != nil {
		if len(p) > 0 {
			p = p[:h.m.c.rng.IntN(len(p))]
		}
		n, _ := h.write(p, off) // the hook's error is the one to tell
		return n, failed
	}
	return h.write(p, off)
}

// write stores as much as there is space for.
func (h *handle) write(p []byte, off int64) (int, error) {
	n := len(p)
	if h.m.c.limit >= 0 {
		n = h.file.now.fits(off, n, h.m.c.limit-h.m.c.used)
	}
	h.m.c.used -= h.file.now.space()
	h.file.mutate(mutation{off, append([]byte{}, p[:n]...)})
	h.m.c.used += h.file.now.space()
	if n < len(p) {
		return n, pathError(OpWrite, h.name, syscall.ENOSPC)
	}
	return n, nil
}

func (h *handle) Truncate(size int64) error {
	if err := h.m.begin(OpTruncate, h.name); err != nil {
		return err
	}
	defer h.m.c.mu.Unlock()
	if err := h.check(OpTruncate, size, 0); err != nil {
		return err
	}
	h.m.c.used -= h.file.now.space()
	h.file.mutate(mutation{off: size})
	h.m.c.used += h.file.now.space()
	return nil
}

func (h *handle) Sync() error {
	failed := h.m.begin(OpSync, h.name)
	if failed != nil {
		h.m.c.mu.Lock()
	}
	defer h.m.c.mu.Unlock()
	if err := h.check(OpSync, 0, 0); err != nil {
		return err
	}
	if failed != nil {
		h.file.syncFailed()
		return failed
	}
	h.file.sync()
	if h.file.unlinked {
		return pathError(OpSync, h.name, vfs.ErrRemoved)
	}
	return nil
}

// Removed is for vfs.Removed.
func (h *handle) Removed() bool {
	h.m.c.mu.Lock()
	defer h.m.c.mu.Unlock()
	return h.check("stat", 0, 0) == nil && h.file.unlinked
}

func (h *handle) Size() (int64, error) {
	h.m.c.mu.Lock()
	defer h.m.c.mu.Unlock()
	if err := h.check("stat", 0, 0); err != nil {
		return 0, err
	}
	return h.file.now.bytes.Size(), nil
}

func (h *handle) Close() error {
	h.m.c.mu.Lock()
	defer h.m.c.mu.Unlock()
	if err := h.check("close", 0, 0); err != nil {
		return err
	}
	h.closed = true
	h.file.opens--
	h.m.c.release(h.file)
	return nil
}
