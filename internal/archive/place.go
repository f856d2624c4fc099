package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// CheckPlace makes the directories and makes sure that a file which is written in
// one can be given its name in the other, before messages depend on it.
func CheckPlace(o Options) error { return checkPlace(o, os.Link) }

func checkPlace(o Options, link func(from, to string) error) (err error) {
	if o.WorkDir == "" {
		o.WorkDir = o.Dir
	}
	if o.InPlace && o.WorkDir == o.Dir {
		return nil // no name is changed
	}
	for _, dir := range []string{o.Dir, o.WorkDir} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	file, err := os.CreateTemp(o.WorkDir, ".q-archive-try-*") // which no Recover takes away
	if err != nil {
		return err
	}
	defer file.Close()
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	if err := lock(file); err != nil {
		return fmt.Errorf("files in %s cannot be locked: %w", o.WorkDir, err)
	}
	to := filepath.Join(o.Dir, filepath.Base(file.Name())+".linked")
	if err := link(file.Name(), to); err != nil {
		if o.WorkDir != o.Dir {
			return fmt.Errorf("files of --work-dir %s cannot be given names in %s (are both on one file system, which has hard links?): %w", o.WorkDir, o.Dir, err)
		}
		return fmt.Errorf("the file system of %s has no hard links, by which files get their names: %w", o.Dir, err)
	}
	return os.Remove(to)
}
