//go:build !unix

package daemon

import "io/fs"

// deviceOf says that it is not known what a directory is on.
func deviceOf(string) string { return "" }

// mask does nothing: files have no such modes here.
func mask(fs.FileMode) (undo func()) { return func() {} }
