//go:build !linux

package diskqueue

import "syscall"

// mediumErrors are those of the medium.
var mediumErrors = []error{syscall.EIO}
