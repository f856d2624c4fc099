//go:build unix

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// OS is the operating system's file system. Files and directories are made for
// their owner alone, as they hold other people's messages. The mode of what is
// there is never changed.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) { return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL) }
func (osFS) Open(name string) (File, error)   { return openOS(name, os.O_RDWR) }

func (osFS) openToRead(name string) (File, error) { return openOS(name, os.O_RDONLY) }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err // not a nil *osFile inside a File
	}
	return osFile{File: f, counted: links(f) > 0}, nil
}

func (osFS) Rename(oldname, newname string) error       { return os.Rename(oldname, newname) }
func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (osFS) MkdirAll(name string) error                 { return os.MkdirAll(name, 0o700) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func (osFS) SyncDir(name string) error {
	d, err := openDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock uses flock on the directory itself, as nsqd does, so that neither runs
// beside the other. The kernel lets go of it when the process dies.
func (osFS) Lock(dir string) (io.Closer, error) {
	d, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	if err == nil {
		return d, nil
	}
	if err == syscall.EWOULDBLOCK {
		err = ErrLocked
	}
	d.Close() // nothing was written through it
	return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
}

func openDir(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

type osFile struct {
	*os.File
	counted bool // the file system says how many names lead to a file; some always say none
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Sync() error {
	if err := datasync(f.File); err != nil {
		return err
	}
	if f.Removed() {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: ErrRemoved}
	}
	return nil
}

// Removed is for the function Removed.
func (f osFile) Removed() bool { return f.counted && links(f.File) == 0 }

// links is how many names lead to a file; -1: it cannot be told.
func links(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int64(stat.Nlink)
}
