package vfs

// WriteGathered writes pieces one behind another, as one WriteAt of all of them would:
// where the system can, without copying them together. The pieces must not be empty. It
// changes the list.
func WriteGathered(f File, off int64, pieces [][]byte) error {
	if g, ok := f.(gatherer); ok && len(pieces) > 1 {
		return g.writeGathered(off, pieces)
	}
	for _, piece := range pieces {
		if _, err := f.WriteAt(piece, off); err != nil {
			return err
		}
		off += int64(len(piece))
	}
	return nil
}

// gatherer is a File that can write several pieces at once.
type gatherer interface {
	writeGathered(off int64, pieces [][]byte) error
}
