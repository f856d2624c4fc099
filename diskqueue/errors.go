package diskqueue

import "fmt"

// DamageError says that the records with the sequence numbers From up to, not
// including, To cannot be read back and never will be: they are lost.
type DamageError struct {
	Path     string // of the segment
	From, To uint64
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: %d damaged records from sequence number %d", e.Path, e.To-e.From, e.From)
}

// UnreadableError says that the records with the sequence numbers From up to,
// not including, To cannot be read back now, because the medium fails. It may
// pass; when it has not for Options.ReadTimeout, reading them is a *DamageError.
type UnreadableError struct {
	Path     string // of the segment
	From, To uint64
	Err      error // of the file system
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("read %s: %d records from sequence number %d: %v", e.Path, e.To-e.From, e.From, e.Err)
}

// Unwrap returns the file system's error.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Holds says whether the record with a sequence number is among them.
func (e *UnreadableError) Holds(seq uint64) bool { return e.From <= seq && seq < e.To }
