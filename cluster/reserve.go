package cluster

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"

	"qmq/internal/vfs"
)

const (
	reserveName = "reserve" // in the directory raft
	startName   = "reserve.start"
	startBytes  = 64 << 10
	// logFileBytes is Options.LogFileBytes where that is 0.
	logFileBytes = 64 << 20
)

// reserveBytes is room for what is agreed on already when the disk is full: a file of
// the node's log, and as much again for topics.
func (s *Set) reserveBytes() int64 { return 2 * s.o.LogFileBytes }

// reserve is a file whose only use is to make room on a full disk. Its methods may be
// called concurrently.
type reserve struct {
	fs    vfs.FS
	path  string
	bytes int64
	log   *slog.Logger

	mu sync.Mutex // held while the file is made or removed
}

// keep makes the file, unless it is there. Without room for all of it there is none.
func (r *reserve) keep() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, err := r.fs.Open(r.path); err == nil {
		size, err := f.Size()
		if err = errors.Join(err, f.Close()); err != nil || size == r.bytes {
			return err
		}
	}
	err := r.write()
	if err != nil {
		_ = r.remove() // what there is of it is of no use
	}
	return err
}

func (r *reserve) write() error {
	if err := r.remove(); err != nil {
		return err
	}
	f, err := r.fs.Create(r.path)
	if err != nil {
		return err
	}
	block := make([]byte, min(r.bytes, 1<<20))
	for at := int64(0); at < r.bytes && err == nil; at += int64(len(block)) {
		_, err = f.WriteAt(block[:min(r.bytes-at, int64(len(block)))], at)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// give gives the room back to whoever needs it, and says whether there was any.
func (r *reserve) give() (given bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.fs.Remove(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("the reserve for a full disk cannot be given up", slog.Any("error", err))
	}
	return err == nil
}

func (r *reserve) remove() error {
	if err := r.fs.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Set) newReserve(name string, bytes int64) *reserve {
	return &reserve{fs: s.o.FS, path: filepath.Join(s.file.dir, name), bytes: bytes, log: s.o.Logger}
}

// noRoom says that the disk, or the share of it that one may use, is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
