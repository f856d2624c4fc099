package topic

import (
	"path/filepath"
	"sync"

	"qmq/internal/vfs"
)

// Room for the ids of what is stored is set aside on the disk before it is, so that on a
// full disk they can be written down when what they are of is finished, and its segments
// given back: else consuming would make no room there.

const (
	// roomName is the file's, beside the segments. Its name ends as that of a file of ids
	// that never counted.
	roomName = "room" + idsTmp
	// roomStep is in steps of how many bytes it grows, for about 10,000 ids, and roomPage
	// where there is no room for that.
	roomStep = 256 << 10
	roomPage = 4 << 10
)

// idRoom is a file that holds nothing, in whose place a file of ids can be written.
type idRoom struct {
	fs   vfs.FS
	path string

	mu      sync.Mutex // guards what follows, and that the file is so long; held while it grows or goes
	size    int64      // that are set aside
	dropped bool       // nothing is set aside any more
}

func newIDRoom(disk vfs.FS, dir string) *idRoom {
	return &idRoom{fs: disk, path: filepath.Join(dir, roomName)}
}

// roomFor is how long a file of so many ids is.
func roomFor(ids int) int64 {
	blocks := (ids + idsPerBlock - 1) / idsPerBlock
	return int64(idsHeader + blocks*idsBlock + ids*idSize)
}

// adopt takes over what the last process set aside.
func (r *idRoom) adopt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := r.fs.Open(r.path)
	if err != nil {
		return // there is none, or it is made anew
	}
	defer f.Close()
	if r.size, err = f.Size(); err != nil {
		r.size = 0
	}
}

// reserve sets aside so many bytes at least.
func (r *idRoom) reserve(bytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes <= r.size || r.dropped {
		return nil
	}
	f, err := r.open()
	if err != nil {
		return err
	}
	defer f.Close() // nothing is in it
	for _, step := range []int64{roomStep, roomPage} {
		to := (bytes + step - 1) / step * step
		if err = vfs.Allocate(f, r.size, to); err == nil {
			r.size = to
			return nil
		}
	}
	return err
}

// open opens the file, or makes it, and its directory before the first segment. The caller
// holds r.mu.
func (r *idRoom) open() (vfs.File, error) {
	f, err := r.fs.Open(r.path)
	if !isNotExist(err) {
		return f, err
	}
	r.size = 0
	if err := r.fs.MkdirAll(filepath.Dir(r.path)); err != nil {
		return nil, err
	}
	return r.fs.Create(r.path)
}

// shrink gives back what is beyond so many bytes.
func (r *idRoom) shrink(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := (bytes + roomStep - 1) / roomStep * roomStep
	if r.size <= to {
		return
	}
	f, err := r.fs.Open(r.path)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Truncate(to) == nil {
		r.size = to
	}
}

// take makes the file one of another name, for somebody to write where room is set aside.
func (r *idRoom) take(name string) (vfs.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = 0
	if err := r.fs.Rename(r.path, name); err != nil {
		return nil, err
	}
	return r.fs.Open(name)
}

// drop gives all back, for ever.
func (r *idRoom) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = true
	r.fs.Remove(r.path) // or there is none
}
