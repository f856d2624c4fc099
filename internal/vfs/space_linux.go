package vfs

import (
	"io/fs"
	"syscall"
)

// Space is the room on the volume.
func (v Volume) Space() (Space, error) {
	var s syscall.Statfs_t
	if err := statfs(string(v), &s); err != nil {
		return Space{}, err
	}
	block := s.Frsize // what the blocks are counted in
	if block == 0 {
		block = s.Bsize
	}
	return Space{Free: int64(s.Bavail) * block, Used: int64(s.Blocks-s.Bfree) * block}, nil
}

func statfs(dir string, s *syscall.Statfs_t) error {
	for {
		switch err := syscall.Statfs(dir, s); err {
		case nil:
			return nil
		case syscall.EINTR:
		default:
			return &fs.PathError{Op: "statfs", Path: dir, Err: err}
		}
	}
}
