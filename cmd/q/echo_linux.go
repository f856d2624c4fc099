package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hideInput has a terminal not show what is typed, until restore.
func hideInput(f *os.File) (restore func()) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	hidden := *was
	hidden.Lflag &^= unix.ECHO
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, &hidden) // else it is shown, as anything else is
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) }
}
