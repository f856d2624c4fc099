package diskqueue

import "syscall"

// mediumErrors are those of the medium, of a checksum of the file system, and of
// a file system that is damaged.
var mediumErrors = []error{syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN, syscall.EREMOTEIO, syscall.ENODATA}
