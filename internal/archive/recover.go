package archive

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrInUse means that another process writes a file, or has claimed it.
var ErrInUse = errors.New("another process writes it")

// Recovered is a file that a writer which was killed has left.
type Recovered struct {
	Path string // where its messages are now; empty: it had none
	Torn string // where its end is kept, if that was in the middle of a message
	// Lines are its messages.
	Lines int64
	// Left says why nothing was done about a file that is nobody's: this process
	// may not write it. It is at Path.
	Left error
}

// Recover gives the files their names that were being written when their process
// ended: those whose name ends in .q-part, in the directories that names of the
// format have. A message that was cut short was not synced, and so not finished:
// what is before it is kept, and what was written of it is kept beside it. Files
// that another process writes or completes are left alone. After an error all is
// as it was, or is completed the next time.
func Recover(o Options) (found []Recovered, err error) {
	dir := o.WorkDir
	if dir == "" {
		dir = o.Dir
	}
	levels, err := o.directories()
	if err != nil {
		return nil, err
	}
	err = recoverIn(dir, o.Dir, levels, &found)
	return found, err
}

// recoverIn completes the files of a directory, if no levels are left, or else
// those of the directories in it that fit the next level.
func recoverIn(dir, finals string, levels []level, found *[]Recovered) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path, final := filepath.Join(dir, entry.Name()), filepath.Join(finals, entry.Name())
		switch {
		case len(levels) > 0 && entry.IsDir() && levels[0].fits(entry.Name()):
			err := recoverIn(path, final, levels[1:], found)
			if err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		case len(levels) == 0 && entry.Type().IsRegular() && strings.HasSuffix(path, partial):
			r, err := recoverFile(path, strings.TrimSuffix(final, partial))
			switch {
			case errors.Is(err, ErrInUse), errors.Is(err, fs.ErrNotExist):
				continue // somebody else's, who completes it or has done so
			case errors.Is(err, fs.ErrPermission):
				r = Recovered{Path: path, Left: err}
			case err != nil:
				return err
			}
			*found = append(*found, r)
		}
	}
	return nil
}

// recoverFile gives one file its name, or another one if something has it. What
// it ends with in the middle of a message is moved into a file of its own.
func recoverFile(path, final string) (r Recovered, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return r, err
	}
	defer file.Close()
	if err := lock(file); err != nil {
		return r, err
	}
	if !isAt(file, path) {
		return r, fs.ErrNotExist
	}
	info, err := file.Stat()
	if err != nil {
		return r, err
	}
	end, lines, err := wholeLines(file, info.Size(), compressionOf(final))
	if err != nil {
		return r, err
	}
	r.Lines = lines
	if end < info.Size() {
		if r.Torn, err = saveTail(file, end, info.Size(), strings.TrimSuffix(path, partial)+".torn"); err != nil {
			return r, err
		}
		if err := errors.Join(file.Truncate(end), file.Sync()); err != nil {
			return r, err
		}
	}
	if lines > 0 {
		r.Path, err = giveAny(path, final)
		return r, err
	}
	if err := os.Remove(path); err != nil {
		return r, err
	}
	return r, syncDir(filepath.Dir(path))
}

// saveTail copies the end of a file into a new one, on the disk, whose name has a
// number if something else has it, and which is gone after an error.
func saveTail(file *os.File, from, to int64, name string) (torn string, err error) {
	torn = name
	out, err := os.OpenFile(torn, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		if saved, err := os.ReadFile(torn); err == nil && int64(len(saved)) == to-from {
			tail := make([]byte, to-from)
			if _, err := file.ReadAt(tail, from); err == nil && bytes.Equal(saved, tail) {
				return torn, nil // it was saved, and not yet cut off
			}
		}
		torn += stamp()
		out, err = os.OpenFile(torn, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	}
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, io.NewSectionReader(file, from, to-from))
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = syncDir(filepath.Dir(torn))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(torn))
	}
	return torn, nil
}

// stamp makes a name another one.
func stamp() string { return time.Now().UTC().Format(".recovered-20060102-150405.000000000") }

// giveAny gives a file a name, with a number if something else has it.
func giveAny(path, final string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(final), 0o777); err != nil {
		return "", err
	}
	err := give(path, final)
	if !errors.Is(err, fs.ErrExist) {
		return final, err
	}
	end := string(compressionOf(final))
	other := strings.TrimSuffix(final, end) + stamp() + end
	return other, give(path, other)
}

func compressionOf(name string) Compression {
	for _, c := range []Compression{Gzip, Zstd} {
		if strings.HasSuffix(name, string(c)) {
			return c
		}
	}
	return None
}
