//go:build !unix

package main

import "os"

// onHangup tells of nothing: there is no such signal here.
func onHangup() (hangup <-chan os.Signal, ignore func()) { return nil, func() {} }

// stopProcess does nothing: there is no such thing here.
func stopProcess() {}
