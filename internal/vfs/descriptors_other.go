//go:build !linux

package vfs

// OpenDescriptors is how many descriptors this process has open, 0 when that is not
// known.
func OpenDescriptors() int { return 0 }
