package vfs

import "golang.org/x/sys/unix"

func (f osFile) dropCached(from, to int64) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), from, to-from, unix.FADV_DONTNEED) })
	}
}
