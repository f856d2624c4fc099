//go:build unix

package daemon

import (
	"fmt"
	"io/fs"
	"syscall"
)

// deviceOf names the device that a directory is on; empty: it is not known.
func deviceOf(dir string) string {
	var stat syscall.Stat_t
	if syscall.Stat(dir, &stat) != nil {
		return ""
	}
	return fmt.Sprintf("%x", stat.Dev)
}

// mask has files be made with that mode at most until what it returns is called.
func mask(mode fs.FileMode) (undo func()) {
	was := syscall.Umask(int(fs.ModePerm &^ mode))
	return func() { syscall.Umask(was) }
}
