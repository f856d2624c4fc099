package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"qmq/internal/vfs/ram"
)

// NewMem returns an empty file system in memory: the home of ephemeral topics.
// Its root is also the working directory. A file takes memory for what was
// written to it, in pages of 64 KiB (the first one grows from 512 bytes on);
// cutting it gives the memory back at once, removing it when the last handle is
// closed. Sync and SyncDir do nothing, as nothing outlives the process. Lock
// excludes others of the same process. Directory entries carry no time.
func NewMem() FS {
	return &mem{tree: ram.NewTree[*memFile](), locks: make(map[*ram.Node[*memFile]]*memLock)}
}

type mem struct {
	mu    sync.RWMutex // guards the tree and the locks, not the files' bytes
	tree  *ram.Tree[*memFile]
	locks map[*ram.Node[*memFile]]*memLock
}

func (m *mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.tree.Create(name, &memFile{})
	if err != nil {
		return nil, pathError("create", name, err)
	}
	return newMemHandle(name, c.Node.File), nil
}

func (m *mem) Open(name string) (File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.tree.FindFile(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return newMemHandle(name, n.File), nil
}

func (m *mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.tree.Rename(oldname, newname); err != nil {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err}
	}
	return nil
}

func (m *mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.tree.Remove(name)
	return pathError("remove", name, err)
}

func (m *mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.tree.Find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		clear(n.Entries) // what is below goes with the last reference to it
		_, err = m.tree.Remove(name)
	}
	return pathError("remove", name, err)
}

func (m *mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.tree.MkdirAll(name)
	return pathError("mkdir", name, err)
}

func (m *mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, err := m.tree.FindDir(name)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	return d.DirEntries((*memFile).size), nil
}

func (m *mem) SyncDir(name string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, err := m.tree.FindDir(name)
	return pathError("sync", name, err)
}

func (m *mem) Lock(dir string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.tree.FindDir(dir)
	if err == nil && m.locks[d] != nil {
		err = ErrLocked
	}
	if err != nil {
		return nil, pathError("lock", dir, err)
	}
	l := &memLock{fs: m, dir: d}
	m.locks[d] = l
	return l, nil
}

type memLock struct {
	fs  *mem
	dir *ram.Node[*memFile]
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.fs.locks[l.dir] != l {
		return fs.ErrClosed
	}
	delete(l.fs.locks, l.dir)
	return nil
}

// memFile is a file's contents, whatever its name and whoever has it open.
type memFile struct {
	mu    sync.RWMutex // guards bytes; taken after mem.mu
	bytes ram.Bytes
}

func (f *memFile) size() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.bytes.Size()
}

type memHandle struct {
	name string
	file atomic.Pointer[memFile] // nil once closed, so that a closed handle keeps no bytes alive
}

func newMemHandle(name string, f *memFile) *memHandle {
	h := &memHandle{name: name}
	h.file.Store(f)
	return h
}

// open is the file, or the error of a call with that offset, length or size.
func (h *memHandle) open(op string, off int64, length int) (*memFile, error) {
	f := h.file.Load()
	switch {
	case f == nil:
		return nil, pathError(op, h.name, fs.ErrClosed)
	case off < 0:
		return nil, pathError(op, h.name, syscall.EINVAL)
	case off > math.MaxInt64-int64(length):
		return nil, pathError(op, h.name, syscall.EFBIG)
	}
	return f, nil
}

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	f, err := h.open("read", off, 0)
	if err != nil {
		return 0, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.bytes.ReadAt(p, off)
}

func (h *memHandle) WriteAt(p []byte, off int64) (int, error) {
	f, err := h.open("write", off, len(p))
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes.WriteAt(p, off)
	return len(p), nil
}

func (h *memHandle) Truncate(size int64) error {
	f, err := h.open("truncate", size, 0)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes.Truncate(size)
	return nil
}

func (h *memHandle) Size() (int64, error) {
	f, err := h.open("stat", 0, 0)
	if err != nil {
		return 0, err
	}
	return f.size(), nil
}

func (h *memHandle) Sync() error {
	_, err := h.open("sync", 0, 0)
	return err
}

func (h *memHandle) Close() error {
	if h.file.Swap(nil) == nil {
		return pathError("close", h.name, fs.ErrClosed)
	}
	return nil
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
