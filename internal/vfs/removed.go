package vfs

// Removed says that no name leads to an open file any more, as Sync does with
// ErrRemoved. It costs far less than a Sync. Where it cannot be told it is false.
func Removed(f File) bool {
	r, ok := f.(remover)
	return ok && r.Removed()
}

// remover is a File that can tell whether it was removed.
type remover interface{ Removed() bool }
