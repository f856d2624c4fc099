//go:build unix

package acceptloop

import (
	"fmt"
	"os"
	"syscall"
)

// spareDescriptors tells whether the process has more descriptors left than its
// files may need. The system gives out the lowest number that is free, so the
// number that it gives out now is how many are in use, at least.
func spareDescriptors() error {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return nil // accepting will show
	}
	next, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	switch {
	case err == syscall.EMFILE || err == syscall.ENFILE:
		return os.NewSyscallError("open", err)
	case err != nil:
		return nil
	}
	syscall.Close(next)
	if most := int64(limit.Cur); most > 0 && int64(next) >= most-reserve(most) {
		return fmt.Errorf("%d of %d descriptors are in use, the others are kept for files", next, most)
	}
	return nil
}
