package vfs

import (
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// maxPieces is how many the kernel takes at once.
const maxPieces = 1024

func (f osFile) writeGathered(off int64, pieces [][]byte) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for len(pieces) > 0 && failed == nil {
			var n int
			n, failed = unix.Pwritev(int(fd), pieces[:min(len(pieces), maxPieces)], off)
			switch {
			case failed == unix.EINTR:
				failed = nil
			case failed == nil && n == 0:
				failed = io.ErrUnexpectedEOF
			case failed == nil:
				off += int64(n)
				pieces = behind(pieces, n)
			}
		}
	})
	if err != nil {
		failed = fs.ErrClosed // the only reason for Control not to run
	}
	if failed != nil {
		return &fs.PathError{Op: "pwritev", Path: f.Name(), Err: failed}
	}
	return nil
}

// behind is what is left of pieces behind the first n bytes.
func behind(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}
