//go:build !linux

package main

import "os"

// hideInput does nothing here: what is typed is shown.
func hideInput(*os.File) (restore func()) { return func() {} }
