//go:build unix

package vfs

import (
	"math"
	"syscall"
)

// DescriptorLimit is how many descriptors this process may have open, 0 when
// there is no limit or it is not known.
func DescriptorLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}
