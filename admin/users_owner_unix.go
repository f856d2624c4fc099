//go:build unix

package admin

import (
	"os"
	"syscall"
)

// keepOwner gives a file the owner of another one.
func keepOwner(made *os.File, from os.FileInfo) error {
	owner, ok := from.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return made.Chown(int(owner.Uid), int(owner.Gid))
}
