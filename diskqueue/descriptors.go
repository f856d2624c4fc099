package diskqueue

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"

	"qmq/internal/vfs"
)

const (
	// minOpenFiles and maxOpenFiles bound how many segment files are held open
	// when nobody says how many.
	minOpenFiles = 16
	maxOpenFiles = 4096
	// openFilesShare is the part of the process's descriptors that they take:
	// the others are for connections.
	openFilesShare = 4
)

// openFiles is how many segment files are held open in a process that may have
// limit descriptors; 0 stands for no limit.
func openFiles(limit int) int {
	if limit == 0 {
		return maxOpenFiles
	}
	return min(max(limit/openFilesShare, minOpenFiles), maxOpenFiles)
}

// givingFS is a file system that closes idle segment files when there is no
// descriptor left, and tries again: a file that nobody uses now must not keep
// anybody from working.
type givingFS struct {
	vfs.FS
	files *fileCache
}

// OutOfDescriptors says that err is that the process or the machine has no more
// of them. It tells nothing of the disk: what failed may be tried again later.
func OutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

const (
	// descriptorPause is how long to wait before what there was no descriptor for
	// is tried again, and descriptorTimeout how long that goes on.
	descriptorPause   = 5 * time.Millisecond
	descriptorTimeout = 2 * time.Second
)

// withDescriptors does f, and does it again as long as it fails for want of
// descriptors: somebody is about to give one back, and nothing was done that
// could be lost. After descriptorTimeout, or when the log is given up, it returns
// that error.
func (l *Log) withDescriptors(f func() error) error {
	err := f()
	for waited := time.Duration(0); OutOfDescriptors(err) && waited < descriptorTimeout && !l.abandoned.Load(); waited += descriptorPause {
		time.Sleep(descriptorPause)
		err = f()
	}
	return err
}

// shouldRetry says whether what failed with err is worth another try.
func (g givingFS) shouldRetry(err error) bool { return OutOfDescriptors(err) && g.files.giveWay() }

func (g givingFS) Create(name string) (f vfs.File, err error) {
	for f, err = g.FS.Create(name); g.shouldRetry(err); {
		f, err = g.FS.Create(name)
	}
	return f, err
}

func (g givingFS) Open(name string) (f vfs.File, err error) {
	for f, err = g.FS.Open(name); g.shouldRetry(err); {
		f, err = g.FS.Open(name)
	}
	return f, err
}

func (g givingFS) ReadDir(name string) (list []fs.DirEntry, err error) {
	for list, err = g.FS.ReadDir(name); g.shouldRetry(err); {
		list, err = g.FS.ReadDir(name)
	}
	return list, err
}

func (g givingFS) SyncDir(name string) (err error) {
	for err = g.FS.SyncDir(name); g.shouldRetry(err); {
		err = g.FS.SyncDir(name)
	}
	return err
}

func (g givingFS) RemoveAll(name string) (err error) {
	for err = g.FS.RemoveAll(name); g.shouldRetry(err); {
		err = g.FS.RemoveAll(name)
	}
	return err
}

func (g givingFS) Lock(dir string) (c io.Closer, err error) {
	for c, err = g.FS.Lock(dir); g.shouldRetry(err); {
		c, err = g.FS.Lock(dir)
	}
	return c, err
}
