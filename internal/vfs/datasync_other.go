//go:build unix && !linux

package vfs

import "os"

// datasync is os.File's Sync, which on macOS also empties the drive's cache.
func datasync(f *os.File) error { return f.Sync() }
