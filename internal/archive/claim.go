package archive

import (
	"errors"
	"os"
)

// Claim makes sure that nobody else has claimed the same path: it makes a file
// there and locks it. Release removes it. One that a killed process has left is
// nobody's. The error wraps ErrInUse where somebody has the claim. Where a system
// has no such lock, everybody has it.
func Claim(path string) (release func() error, err error) {
	file, err := openLocked(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(os.Remove(path), file.Close()) }, nil
}
