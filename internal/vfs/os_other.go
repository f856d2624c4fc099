//go:build !unix

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// OS is the operating system's file system for tools that work on files of their
// own. What a node keeps needs locks and syncs of directories, which there are none
// of here: no directory can be locked, so no node runs.
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
	return osFile{f}, nil
}

func (osFS) Rename(oldname, newname string) error       { return os.Rename(oldname, newname) }
func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (osFS) MkdirAll(name string) error                 { return os.MkdirAll(name, 0o700) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func (osFS) SyncDir(name string) error {
	return &fs.PathError{Op: "sync", Path: name, Err: errors.ErrUnsupported}
}

func (osFS) Lock(dir string) (io.Closer, error) {
	return nil, &fs.PathError{Op: "lock", Path: dir, Err: errors.ErrUnsupported}
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// DescriptorLimit is not known here.
func DescriptorLimit() int { return 0 }

// Space is not known here.
func (v Volume) Space() (Space, error) {
	return Space{}, &fs.PathError{Op: "statfs", Path: string(v), Err: errors.ErrUnsupported}
}
