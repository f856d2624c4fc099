package journal

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"qmq/internal/vfs"
)

const (
	// spareFiles is how many spare files the reserve is made of: on a full disk
	// one to go on in, and a log and a checkpoint to shrink that.
	spareFiles = 3
	// maxSpareFactor is how many times as long spare files are made for larger
	// checkpoints. Beyond that there is no checkpoint while the disk is full.
	maxSpareFactor = 8
)

// reserve is room on the disk that the journal keeps for itself, so that it can
// be written while the disk is full: files of zeros, as long as they will get,
// which become logs and checkpoints by a new name and are written over. The
// files that checkpoints make superfluous are turned into spare ones again, so
// that others cannot take their place on the disk. Where the file system writes
// elsewhere what is written over, the reserve is worth what it makes of it.
type reserve struct {
	fs   vfs.FS
	dir  string
	size int64 // at least, of a spare file; 0: there is no reserve

	timings *timings // of the files that are made; nil: nobody counts

	mu     sync.Mutex // guards what follows; held for moments only
	spares []spare
	next   uint64 // number of the next
	want   int64  // size of a spare file: what a checkpoint takes, and more
}

// spare is a file of the reserve.
type spare struct {
	number uint64
	size   int64
}

// newReserve begins with the spare files that are there.
func newReserve(o *Options, spares []spare) *reserve {
	r := &reserve{fs: o.FS, dir: o.Dir, size: o.Reserve, want: o.Reserve, spares: spares, next: 1}
	for _, s := range spares {
		r.next = max(r.next, s.number+1)
	}
	return r
}

// noRoom says that the disk, or the share of it that one may use, is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// count is how many spare files there are.
func (r *reserve) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spares)
}

// bytes is how long spare files are made.
func (r *reserve) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.want
}

// suit makes spare files long enough for checkpoints of this size.
func (r *reserve) suit(checkpoint int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 {
		times := (checkpoint + checkpoint/2 + r.size - 1) / r.size
		r.want = r.size * max(1, min(times, maxSpareFactor))
	}
}

// create makes a file out of a spare one, or else a new one. Room is how much
// of it takes no further space on the disk: zeros, up to its end.
func (r *reserve) create(path string) (f vfs.File, room int64, err error) {
	if s, ok := r.pop(math.MaxInt64); ok {
		if f, err = r.use(r.path(s.number), path); err == nil {
			return f, s.size, nil // a spare file that could not be used is found again by a later start
		}
	}
	f, err = r.fs.Create(path)
	return f, 0, err
}

func (r *reserve) path(number uint64) string {
	return filepath.Join(r.dir, fileName(number, spareSuffix))
}

// pop takes a spare file that is shorter than size out of the reserve.
func (r *reserve) pop(size int64) (s spare, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.spares, func(s spare) bool { return s.size < size })
	if i < 0 {
		return s, false
	}
	s = r.spares[i]
	r.spares = slices.Delete(r.spares, i, i+1)
	return s, true
}

func (r *reserve) push(s spare) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spares = append(r.spares, s)
}

func (r *reserve) use(spare, path string) (vfs.File, error) {
	if err := r.fs.Rename(spare, path); err != nil {
		return nil, err
	}
	f, err := r.fs.Open(path)
	if err != nil {
		return nil, errors.Join(err, r.fs.Rename(path, spare))
	}
	return f, nil
}

// giveBack removes a file that nobody needs, or makes it a spare one.
func (r *reserve) giveBack(path string) error {
	if r.size == 0 || r.count() >= spareFiles {
		return r.fs.Remove(path)
	}
	size := r.bytes()
	f, err := r.fs.Open(path)
	if err != nil {
		return err
	}
	room, err := f.Size()
	if err != nil || room < size {
		_ = f.Close()
		return r.fs.Remove(path)
	}
	// Nothing of what it said may be read as part of its next life.
	if err = clearFile(f, size); err == nil {
		err = r.add(path, size)
	}
	if err != nil {
		return errors.Join(err, r.fs.Remove(path))
	}
	return nil
}

// clearFile makes the file consist of zeros on the disk, and closes it.
func clearFile(f vfs.File, size int64) error {
	err := f.Truncate(size)
	if err == nil {
		err = writeZeros(f, 0, size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// add takes the file at path, all zeros, as a spare one.
func (r *reserve) add(path string, size int64) error {
	r.mu.Lock()
	number := r.next
	r.next++
	r.mu.Unlock()
	if err := r.fs.Rename(path, r.path(number)); err != nil {
		return err
	}
	r.push(spare{number, size})
	return nil
}

// short says that there are fewer spare files than there should be, or that one
// is too short.
func (r *reserve) short() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size > 0 && (len(r.spares) < spareFiles ||
		slices.ContainsFunc(r.spares, func(s spare) bool { return s.size < r.want }))
}

// fill makes the reserve what it should be.
func (r *reserve) fill() error {
	size := r.bytes()
	for r.size > 0 && r.count() < spareFiles {
		if err := r.makeSpare(size); err != nil {
			return err
		}
	}
	for {
		s, ok := r.pop(size)
		if !ok {
			return nil
		}
		grown, err := r.grow(s, size)
		if grown.size > 0 {
			r.push(grown)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reserve) makeSpare(size int64) error {
	path := filepath.Join(r.dir, newSpareName)
	if err := r.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := r.fs.Create(path)
	if err != nil {
		return err
	}
	if err = clearFile(f, size); err == nil {
		err = r.add(path, size)
	}
	if err != nil {
		return errors.Join(err, r.fs.Remove(path))
	}
	return nil
}

// grow makes a spare file longer. When that fails it is as it was.
func (r *reserve) grow(s spare, size int64) (spare, error) {
	f, err := r.fs.Open(r.path(s.number))
	if err != nil {
		return spare{}, err
	}
	err = writeZeros(f, s.size, size)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return s, errors.Join(err, f.Truncate(s.size), f.Close())
	}
	return spare{s.number, size}, f.Close()
}

var zeros [64 << 10]byte

func writeZeros(f vfs.File, from, to int64) error {
	for from < to {
		n, err := f.WriteAt(zeros[:min(to-from, int64(len(zeros)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
