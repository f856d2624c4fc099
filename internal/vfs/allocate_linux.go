package vfs

import (
	"io/fs"
	"syscall"
)

func (f osFile) allocate(from, to int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = syscall.Fallocate(int(fd), 0, from, to-from); failed != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		failed = fs.ErrClosed // the only reason for Control not to run
	}
	if failed != nil {
		return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: failed}
	}
	return nil
}
