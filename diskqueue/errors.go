package diskqueue

import "fmt"

// DamageError says that the records with the sequence numbers From up to, not
// including, To cannot be read back and never will be: they are void.
type DamageError struct {
	Path     string // of the segment
	From, To uint64
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: %d damaged records from sequence number %d", e.Path, e.To-e.From, e.From)
}
