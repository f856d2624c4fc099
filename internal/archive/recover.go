package archive

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errInUse means that another process writes a file.
var errInUse = errors.New("another process writes it")

// Recovered is a file that a writer which was killed has left.
type Recovered struct {
	Path string // where its messages are now
	Torn string // where the file is kept as it was, if it ended in the middle of a message
	// Lines are its messages.
	Lines int64
}

// Recover gives the files their names that were being written when their process
// ended. A message that was cut short was not synced, and so not finished: what
// is before it is kept, and the file as it was, too. Files that another process
// writes are left alone.
func Recover(o Options) (found []Recovered, err error) {
	dir := o.WorkDir
	if dir == "" {
		dir = o.Dir
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() || !strings.HasSuffix(path, partial) {
			return err
		}
		below, err := filepath.Rel(dir, strings.TrimSuffix(path, partial))
		if err != nil {
			return err
		}
		r, err := recoverFile(path, filepath.Join(o.Dir, below))
		if errors.Is(err, errInUse) {
			return nil
		}
		if err == nil {
			found = append(found, r)
		}
		return err
	})
	return found, err
}

// recoverFile gives one file its name, or another one if something has it.
func recoverFile(path, final string) (Recovered, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return Recovered{}, err
	}
	defer file.Close()
	if err := lock(file); err != nil {
		return Recovered{}, err
	}
	compression := compressionOf(final)
	good := path + "-good"
	lines, torn, err := copyLines(strings.TrimSuffix(path, partial), path, good, compression)
	if err != nil {
		return Recovered{}, err
	}
	r := Recovered{Lines: lines}
	from := path
	if torn {
		from, r.Torn = good, strings.TrimSuffix(path, partial)+".torn"
		if err := os.Link(path, r.Torn); err != nil && !errors.Is(err, fs.ErrExist) {
			return r, err
		}
	}
	if lines > 0 {
		if r.Path, err = giveAny(from, final); err != nil {
			return r, err
		}
	}
	os.Remove(good) // if it is there still
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	return r, syncDir(filepath.Dir(path))
}

// giveAny gives a file a name, with a number if something has it.
func giveAny(path, final string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(final), 0o777); err != nil {
		return "", err
	}
	err := give(path, final)
	if !errors.Is(err, fs.ErrExist) {
		return final, err
	}
	other := strings.TrimSuffix(final, string(compressionOf(final)))
	other += time.Now().UTC().Format(".recovered-20060102-150405.000000000") + string(compressionOf(final))
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

// copyLines writes the whole lines of a file into another one, on the disk, and
// tells whether the file ends in the middle of one.
func copyLines(name, path, to string, c Compression) (lines int64, torn bool, err error) {
	in, err := openAs(name, path)
	if err != nil {
		return 0, false, err
	}
	defer in.Close()
	os.Remove(to) // of an attempt before
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, false, err
	}
	defer out.Close()
	w, err := newCompressor(c, 0)
	if err != nil {
		return 0, false, err
	}
	w.Reset(out)
	for {
		line, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			torn = true // cut short, or damaged: what was before it is good
			break
		}
		lines++
		if _, err := w.Write(append(line, '\n')); err != nil {
			return lines, torn, err
		}
	}
	if lines > 0 {
		err = w.Close()
	}
	return lines, torn, errors.Join(err, out.Sync())
}
