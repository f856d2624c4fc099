//go:build unix

package stream

import (
	"io"
	"syscall"
)

// rawIO says that tryRead and tryOnce work here.
const rawIO = true

// tryRead reads what the descriptor has right now. It returns false when that
// is nothing, so that the runtime waits and calls again: the wait itself then
// holds no buffer. Deadlines do not end a spin, which is shorter than their
// grain.
func (in *Input) tryRead(fd uintptr) bool {
	if in.err = in.makeSpace(); in.err != nil {
		return true
	}
	for {
		n, err := syscall.Read(int(fd), in.space())
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if in.spin.lookAgain() {
				continue
			}
			in.park()
			return false
		case err != nil:
			in.err = err
		case n == 0:
			in.err = io.EOF
		default:
			in.received(n)
		}
		in.spin.heard()
		return true
	}
}

// tryOnce writes what the descriptor takes right now. It always returns true:
// the runtime is not to wait for more space.
func (w *wire) tryOnce(fd uintptr) bool {
	for w.tried < len(w.trying) {
		n, err := syscall.Write(int(fd), w.trying[w.tried:])
		switch {
		case n > 0:
			w.tried += n
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		default:
			w.failed = err
			return true
		}
	}
	return true
}
