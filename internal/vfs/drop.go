package vfs

// DropCached says that nobody needs a part of a file in the system's memory: what is read
// of it next comes from the disk, and what was read leaves no room less for others. What
// is not on the disk yet stays. It is advice, which may come to nothing.
func DropCached(f File, from, to int64) {
	if d, ok := f.(dropper); ok {
		d.dropCached(from, to)
	}
}

// dropper is a File that the system keeps in memory.
type dropper interface{ dropCached(from, to int64) }
