package vfs

// Space is how much room there is on a file system, in bytes.
type Space struct {
	// Free is what this process may still use, Used what is in use, by whomever. What
	// the file system keeps for the superuser is in neither.
	Free, Used int64
}

// FreePart is the free part of all that can be used, of 0 to 1; 0 where there is none.
func (s Space) FreePart() float64 {
	if s.Free <= 0 {
		return 0
	}
	return float64(s.Free) / (float64(s.Free) + float64(s.Used))
}

// Volume is the file system that the directory of that path is on. Its methods may be
// called concurrently, and wait where the file system hangs.
type Volume string
