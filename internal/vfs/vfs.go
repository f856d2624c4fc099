// Package vfs is the file system seam: the logs and the journal reach files
// through it alone, so that tests can put one in place that crashes, fills up,
// fails and flips bits. It starts no goroutine.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is wrapped by the error of FS.Lock when another process holds the
// directory.
var ErrLocked = errors.New("in use by another process")

// ErrRemoved is wrapped by the error of File.Sync when no name leads to the file any
// more: somebody has removed it, and what is in it is gone when it is closed.
var ErrRemoved = errors.New("the file was removed while it was in use")

// FS is a file system. All methods may be called concurrently. Paths are those
// of the operating system. A change of a directory (a name created, renamed or
// removed) survives a crash of the machine only after SyncDir of that
// directory; the bytes of a file only after File.Sync.
type FS interface {
	// Create makes a new, empty file for reading and writing; it is an error
	// wrapping fs.ErrExist if the name is taken.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Rename moves a file, replacing a file of the new name, or a directory to
	// a free name; it is an error wrapping fs.ErrExist if the new name is a
	// directory's. Open files stay open. Both directories need a SyncDir.
	Rename(oldname, newname string) error
	// Remove removes a file or an empty directory. A file that is open stays
	// readable and writable until it is closed.
	Remove(name string) error
	// RemoveAll removes a file, or a directory and all below it; a missing one
	// is no error. An error or a crash may leave it half done.
	RemoveAll(name string) error
	// MkdirAll makes a directory and its missing parents; an existing one is
	// no error. Each one made needs a SyncDir of its parent.
	MkdirAll(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// SyncDir makes the directory's own entries survive a crash of the machine.
	SyncDir(name string) error
	// Lock takes the directory for this process alone, until the closer is
	// closed or the process ends. The error wraps ErrLocked when another holds it.
	Lock(dir string) (io.Closer, error)
}

// File is an open file. All methods may be called concurrently; after Close they
// return errors wrapping fs.ErrClosed. A ReadAt that runs beside a WriteAt of
// the same bytes may see any mixture of old and new.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Truncate cuts the file, or extends it with zeros.
	Truncate(size int64) error
	// Sync makes the file's bytes, and the metadata needed to read them back,
	// survive a crash of the machine (fdatasync). After an error it is not
	// known which bytes do, and a later success says nothing about them. The
	// error wraps ErrRemoved where no name leads to the file any more.
	Sync() error
}
