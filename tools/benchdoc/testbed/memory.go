package testbed

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// TouchMemory makes free memory of the machine ready to be written to, by
// keeping a file of so many bytes in dir for a moment. A virtual machine may
// have given it back to its host, and to get it again page by page costs
// several times what it costs a daemon to write a message: without this, a
// daemon would seem dear wherever its files grow and cheap wherever they are
// reused.
func TouchMemory(dir string, bytes int) error {
	f, err := os.CreateTemp(dir, "benchdoc-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	zeroes := make([]byte, 1<<20)
	for ; bytes > 0 && err == nil; bytes -= len(zeroes) {
		_, err = f.Write(zeroes)
	}
	return err
}

// Settle has the disk hold all files below dir. What was written before a measurement is
// then not on its way to the disk during it.
func Settle(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			err = settle(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // whoever is at work there removes files
			return nil
		}
		return err
	})
}

func settle(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
