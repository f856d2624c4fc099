package vfs

import "errors"

// Allocate makes a file longer, from its end up to an offset. What is new reads as
// zeros, and has its place on the disk: no write to it fails for want of room. Where
// the system can it is only set aside, which costs next to nothing at first; but each
// of the first writes to it changes what the file system keeps of the file, and a Sync
// has to bring that to the disk, too. WriteZeros is dearer at first, and not later.
// After an error the file may be longer than it was.
func Allocate(f File, from, to int64) error {
	if a, ok := f.(allocator); ok {
		if err := a.allocate(from, to); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return WriteZeros(f, from, to)
}

// allocator is a File that can set room aside. The error wraps errors.ErrUnsupported
// where its file system cannot.
type allocator interface {
	allocate(from, to int64) error
}

var zeros [1 << 20]byte

// WriteZeros writes zeros.
func WriteZeros(f File, from, to int64) error {
	for from < to {
		n, err := f.WriteAt(zeros[:min(to-from, int64(len(zeros)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
