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
