package vfs

import (
	"io/fs"
	"syscall"
)

// ReadOnly is fsys for those who only look: whatever would change anything
// fails with an error that wraps EROFS, and files that may only be read can be
// opened. Lock works as ever.
func ReadOnly(fsys FS) FS { return readOnly{fsys} }

type readOnly struct{ FS }

// reader is a file system that opens files which may only be read.
type reader interface {
	openToRead(name string) (File, error)
}

func (r readOnly) Open(name string) (f File, err error) {
	if own, ok := r.FS.(reader); ok {
		f, err = own.openToRead(name)
	} else {
		f, err = r.FS.Open(name)
	}
	if err != nil {
		return nil, err
	}
	return readOnlyFile{f, name}, nil
}

func (r readOnly) Create(name string) (File, error) { return nil, refusal("create", name) }
func (r readOnly) Rename(oldname, _ string) error   { return refusal("rename", oldname) }
func (r readOnly) Remove(name string) error         { return refusal("remove", name) }
func (r readOnly) RemoveAll(name string) error      { return refusal("remove", name) }
func (r readOnly) MkdirAll(name string) error       { return refusal("mkdir", name) }
func (r readOnly) SyncDir(name string) error        { return refusal("sync", name) }

type readOnlyFile struct {
	File
	name string
}

func (f readOnlyFile) WriteAt([]byte, int64) (int, error) { return 0, refusal("write", f.name) }
func (f readOnlyFile) Truncate(int64) error               { return refusal("truncate", f.name) }
func (f readOnlyFile) Sync() error                        { return refusal("sync", f.name) }

func refusal(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: syscall.EROFS}
}
