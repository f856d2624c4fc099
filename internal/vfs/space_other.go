//go:build unix && !linux

package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Space is the room on the volume.
func (v Volume) Space() (Space, error) {
	var s unix.Statfs_t
	for {
		switch err := unix.Statfs(string(v), &s); err {
		case nil:
			block := int64(s.Bsize)
			return Space{Free: int64(s.Bavail) * block, Used: int64(s.Blocks-s.Bfree) * block}, nil
		case unix.EINTR:
		default:
			return Space{}, &fs.PathError{Op: "statfs", Path: string(v), Err: err}
		}
	}
}
