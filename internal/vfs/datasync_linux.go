package vfs

import (
	"io/fs"
	"os"
	"syscall"
)

// datasync is fsync without the times of access and change, which saves a
// write of the inode when the size stays.
func datasync(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) { // keeps fd from being closed and reused meanwhile
		for {
			if syncErr = syscall.Fdatasync(int(fd)); syncErr != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		syncErr = fs.ErrClosed // the only reason for Control not to run
	}
	if syncErr != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: syncErr}
	}
	return nil
}
