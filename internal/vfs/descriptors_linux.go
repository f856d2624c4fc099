package vfs

import "os"

// OpenDescriptors is how many descriptors this process has open, 0 when that is not
// known.
func OpenDescriptors() int {
	const here = "/proc/self/fd"
	if info, err := os.Stat(here); err == nil && info.Size() > 0 { // since Linux 6.2
		return int(info.Size())
	}
	d, err := os.Open(here)
	if err != nil {
		return 0
	}
	defer d.Close()
	list, err := d.Readdirnames(-1)
	if err != nil || len(list) == 0 {
		return 0
	}
	return len(list) - 1 // without this one
}
