package vfs

import (
	"fmt"
	"io"
	"math"
)

// NoLimit has ReadFile take a file of any size.
const NoLimit = math.MaxInt64

// ReadFile reads a file whole. One that is longer than most bytes is not read: it is
// none of those that are looked for.
func ReadFile(fsys FS, path string, most int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("%s has %d bytes, of %d at most", path, size, most)
	}
	content := make([]byte, size)
	n, err := f.ReadAt(content, 0)
	if err == io.EOF {
		err = nil
	}
	return content[:n], err
}
