package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/histogram"
	"qmq/internal/vfs"
)

// The journal's folder holds logs and checkpoints, numbered by one counter:
// checkpoint n is what the logs below n say, so that it and the logs from n on
// are the whole. What has another name is not the journal's and left alone.
const (
	logSuffix        = ".log"
	checkpointSuffix = ".ckpt"
	temporarySuffix  = ".ckpt.tmp" // a checkpoint being written
	spareSuffix      = ".spare"    // of the reserve, with a counter of their own
	newSpareName     = "new" + spareSuffix
	damagedSuffix    = ".damaged" // appended to what is kept for a look
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
	known := suffix == logSuffix || suffix == checkpointSuffix || suffix == temporarySuffix || suffix == spareSuffix
	return number, suffix, err == nil && known
}

// listing is the journal's own files, by number, ascending.
type listing struct {
	logs, checkpoints, temporary []uint64
	spares                       []spare
	taken                        uint64 // the highest number in the name of a directory
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
		case !ok:
		case e.IsDir():
			l.taken = max(l.taken, number)
		case suffix == logSuffix:
			l.logs = append(l.logs, number)
		case suffix == checkpointSuffix:
			l.checkpoints = append(l.checkpoints, number)
		case suffix == spareSuffix:
			info, err := e.Info()
			if err != nil {
				return l, err
			}
			l.spares = append(l.spares, spare{number, info.Size()})
		default:
			l.temporary = append(l.temporary, number)
		}
	}
	return l, nil
}

// last is the highest number in use.
func (l listing) last() uint64 {
	n := l.taken
	for _, numbers := range [][]uint64{l.logs, l.checkpoints, l.temporary} {
		if len(numbers) > 0 {
			n = max(n, numbers[len(numbers)-1])
		}
	}
	return n
}

// file is a log or checkpoint being written.
type file struct {
	fs     vfs.FS
	name   string
	number uint64
	f      vfs.File
	salt   uint32
	end    int64 // what is before it was written; the writer's
	room   int64 // up to here it takes no further space on the disk
	// starting says that the log tells of a start that is not complete; the writer's.
	starting bool

	timings *timings // of the journal; nil: of a file that a former process wrote

	syncing sync.Mutex  // held during a sync, and guards err
	err     error       // of the sync that failed: none is tried after it
	broken  atomic.Bool // err is not nil
}

// timings count how long writes and syncs of the journal's files took, also those that
// failed.
// Nobody counts where there are none.
type timings struct{ writes, syncs histogram.Histogram }

func (t *timings) wrote(began time.Time) {
	if t != nil {
		t.writes.Add(int64(time.Since(began)))
	}
}

func (t *timings) synced(began time.Time) {
	if t != nil {
		t.syncs.Add(int64(time.Since(began)))
	}
}

// createFile makes a file with a header and its first record. When it fails
// there is none.
func createFile(r *reserve, number uint64, suffix string, first []byte) (*file, error) {
	path := filepath.Join(r.dir, fileName(number, suffix))
	f, room, err := r.create(path)
	if err != nil {
		return nil, err
	}
	l := &file{fs: r.fs, name: path, number: number, f: f, salt: newSalt(), room: room, timings: r.timings}
	if err := l.append(appendFrame(appendHeader(nil, l.salt), l.salt, first)); err != nil {
		return nil, errors.Join(err, l.discard(r))
	}
	return l, nil
}

// sync makes everything that was written survive the end of the machine. After
// a failure nobody knows what of the file is on the disk, and no later sync
// would tell: it goes on failing.
func (l *file) sync() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.err == nil {
		began := time.Now()
		l.err = l.f.Sync()
		l.timings.synced(began)
		l.broken.Store(l.err != nil)
	}
	return l.err
}

// syncAndClose ends a log. One that a former process wrote has to be opened
// first, unless a checkpoint has taken its place.
func (l *file) syncAndClose() error {
	if l.f == nil {
		f, err := l.fs.Open(l.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		l.f = f
	}
	var err error
	if !l.broken.Load() { // or it is known already
		err = l.sync()
	}
	_ = l.f.Close() // what could be kept is synced
	return err
}

// append writes b at the end. After an error the end is where it was; what is
// beyond it has to be cut off.
func (l *file) append(b []byte) error {
	began := time.Now()
	_, err := l.f.WriteAt(b, l.end)
	l.timings.wrote(began)
	if err != nil {
		return err
	}
	l.end += int64(len(b))
	return nil
}

// cut takes back what a write left that failed after the first to bytes. The
// room that the file has is kept if may be.
func (l *file) cut(to int64) error {
	l.end = min(l.end, to)
	if l.end < l.room && writeZeros(l.f, l.end, l.room) == nil {
		return l.f.Truncate(l.room)
	}
	l.room = 0
	return l.f.Truncate(l.end)
}

func (l *file) discard(r *reserve) error {
	return errors.Join(l.f.Close(), r.giveBack(l.name))
}
