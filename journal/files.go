package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"qmq/internal/vfs"
)

// The journal's folder holds logs and checkpoints, numbered by one counter:
// checkpoint n is what the logs below n say, so that it and the logs from n on
// are the whole. What has another name is not the journal's and left alone.
const (
	logSuffix        = ".log"
	checkpointSuffix = ".ckpt"
	temporarySuffix  = ".ckpt.tmp" // a checkpoint being written
	damagedSuffix    = ".damaged"  // appended to what is kept for a look
)

func fileName(number uint64, suffix string) string {
	return fmt.Sprintf("%016x%s", number, suffix)
}

// parseName is the inverse of fileName.
func parseName(name string) (number uint64, suffix string, ok bool) {
	digits, suffix, ok := strings.Cut(name, ".")
	if !ok || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, "", false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	suffix = "." + suffix
	known := suffix == logSuffix || suffix == checkpointSuffix || suffix == temporarySuffix
	return number, suffix, err == nil && known
}

// listing is the journal's own files, by number, ascending.
type listing struct {
	logs, checkpoints, temporary []uint64
}

func list(fsys vfs.FS, dir string) (listing, error) {
	var l listing
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return l, err
	}
	for _, e := range entries {
		number, suffix, ok := parseName(e.Name())
		switch {
		case !ok || e.IsDir():
		case suffix == logSuffix:
			l.logs = append(l.logs, number)
		case suffix == checkpointSuffix:
			l.checkpoints = append(l.checkpoints, number)
		default:
			l.temporary = append(l.temporary, number)
		}
	}
	return l, nil
}

// last is the highest number in use.
func (l listing) last() uint64 {
	var n uint64
	for _, numbers := range [][]uint64{l.logs, l.checkpoints, l.temporary} {
		if len(numbers) > 0 {
			n = max(n, numbers[len(numbers)-1])
		}
	}
	return n
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// file is a log or checkpoint being written.
type file struct {
	fs   vfs.FS
	name string
	f    vfs.File
	salt uint32
	end  int64 // what is before it was written
}

// createFile makes a file with a header. When it fails there is none.
func createFile(fsys vfs.FS, dir, name string) (*file, error) {
	path := filepath.Join(dir, name)
	f, err := fsys.Create(path)
	if err != nil {
		return nil, err
	}
	l := &file{fs: fsys, name: path, f: f, salt: newSalt()}
	if err := l.append(appendHeader(nil, l.salt)); err != nil {
		return nil, errors.Join(err, l.discard())
	}
	return l, nil
}

// append writes b at the end. After an error the end is where it was; what is
// beyond it has to be cut off.
func (l *file) append(b []byte) error {
	if _, err := l.f.WriteAt(b, l.end); err != nil {
		return err
	}
	l.end += int64(len(b))
	return nil
}

// cut makes the file end where end says, or earlier.
func (l *file) cut(to int64) error {
	l.end = min(l.end, to)
	return l.f.Truncate(l.end)
}

func (l *file) discard() error {
	return errors.Join(l.f.Close(), l.fs.Remove(l.name))
}
