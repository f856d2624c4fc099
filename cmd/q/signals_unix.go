//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onHangup tells of SIGHUP until ignore.
func onHangup() (hangup <-chan os.Signal, ignore func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// stopProcess stops this process and those it was started with, as Ctrl-Z does,
// until the shell has them go on.
func stopProcess() { _ = syscall.Kill(0, syscall.SIGTSTP) } // else it goes on
