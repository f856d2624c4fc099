package raftlog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"qmq/internal/vfs"
)

// stock is the files that are not written to now: one that is ready to be, and
// those that wait for their next use. Work on files is done beside the writer, by
// a goroutine that ends when there is nothing to do.
type stock struct {
	jobs sync.WaitGroup

	// What follows is of the one who does the work.
	leaving  []*segment // not needed, and still of that name
	renamed  []string   // paths of spare files whose new name may not be on the disk
	unsynced bool       // a file was renamed or removed

	mu      sync.Mutex // guards what follows
	settled sync.Cond  // of mu: tending became false
	tending bool
	again   bool     // something was due while it was true
	next    *segment // ready to be written
	number  uint64   // of the next file that is made ready
	spares  []string // paths
}

// maxSpares is how many files wait to be used again.
const maxSpares = 2

// kick has the work on files done.
func (l *Log) kick() {
	st := &l.stock
	if l.o.Manual {
		return // Flush does it
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.tending {
		st.again = true
		return
	}
	st.tending = true
	st.jobs.Go(func() {
		for more := true; more; {
			if err := l.tend(); err != nil {
				l.o.Logger.Warn("raft log: no file is prepared", "error", err)
			}
			st.mu.Lock()
			more, st.again = st.again, false
			st.tending = more
			st.mu.Unlock()
		}
		st.settled.Broadcast()
	})
}

// tend lets files go that are not needed, and makes one ready.
func (l *Log) tend() error {
	if err := l.recycle(); err != nil {
		return err
	}
	if l.o.NoSync {
		l.syncEnded()
	}
	l.stock.mu.Lock()
	ready := l.stock.next != nil
	l.stock.mu.Unlock()
	if ready {
		return nil
	}
	next, err := l.prepare()
	if err != nil {
		return err
	}
	l.stock.mu.Lock()
	l.stock.next = next
	l.stock.mu.Unlock()
	return nil
}

// takeNext is the segment that was made ready, or one that is made now.
func (l *Log) takeNext() (*segment, error) {
	st := &l.stock
	st.mu.Lock()
	for st.next == nil && st.tending {
		st.settled.Wait()
	}
	next := st.next
	st.next = nil
	st.mu.Unlock()
	if next != nil {
		return next, nil
	}
	return l.prepare()
}

// recycle takes the segments that nobody needs out of the log, and makes their
// files spare ones.
func (l *Log) recycle() error {
	l.mu.Lock()
	gone := slices.Clone(l.excess())
	l.shedding = false
	for _, g := range gone {
		for id, last := range g.lasts {
			s := l.shards[id]
			s.forget(last)
			s.trim(s.base.index, s.last())
		}
	}
	l.segments = slices.Delete(l.segments, 0, len(gone))
	l.mu.Unlock()
	st := &l.stock
	for _, g := range gone {
		g.f.Close() // all of it is on the disk, or nobody needs it
		st.leaving = append(st.leaving, g)
	}
	// The oldest first, and none before those that could not go: those that are
	// left follow one another.
	for len(st.leaving) > 0 {
		spare, err := l.retire(st.leaving[0].path, st.leaving[0].number, len(st.renamed))
		if err != nil {
			return err
		}
		st.leaving, st.unsynced = st.leaving[1:], true
		if spare != "" {
			st.renamed = append(st.renamed, spare)
		}
	}
	if !st.unsynced {
		return nil
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.spares = append(st.spares, st.renamed...)
	st.renamed, st.unsynced = nil, false
	return nil
}

// retire gives a file the name of a spare one, or removes it if there are enough,
// so many others included. It is to be used after a SyncDir: until then it may come
// back under its former name.
func (l *Log) retire(path string, number uint64, others int) (spare string, err error) {
	st := &l.stock
	st.mu.Lock()
	enough := len(st.spares)+others >= maxSpares
	st.mu.Unlock()
	if enough {
		return "", l.o.FS.Remove(path)
	}
	spare = filepath.Join(l.o.Dir, spareName(number))
	return spare, l.o.FS.Rename(path, spare)
}

// prepare makes a file ready: as long as it will be, with a header that is on
// the disk before the file gets its name.
func (l *Log) prepare() (*segment, error) {
	st := &l.stock
	st.mu.Lock()
	number := st.number
	st.number++
	st.mu.Unlock()
	f, spare, room, used, err := l.takeSpare(number)
	if err != nil {
		return nil, err
	}
	g := &segment{path: filepath.Join(l.o.Dir, segmentName(number)), f: f, room: room, end: firstRecord, synced: firstRecord, used: used}
	g.header = header{cluster: l.o.Cluster, node: l.o.Node, number: number, salt: newSalt(), size: room}
	_, err = f.WriteAt(g.head(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.o.FS.Rename(spare, g.path)
	}
	if err == nil {
		err = l.o.FS.SyncDir(l.o.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.discard(spare), l.discard(g.path))
	}
	return g, nil
}

// discard removes a file of which nothing is needed, if it is there.
func (l *Log) discard(path string) error {
	if err := l.o.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// takeSpare is a spare file, or a new one, whose room is set aside.
func (l *Log) takeSpare(number uint64) (f vfs.File, path string, room, used int64, err error) {
	for {
		path, ok := l.popSpare()
		if !ok {
			break
		}
		f, err := l.o.FS.Open(path)
		if err != nil {
			return nil, "", 0, 0, err // the next start finds it again
		}
		if room, err = f.Size(); err == nil && room >= l.o.SegmentBytes {
			return f, path, room, room, nil
		}
		if err = errors.Join(err, f.Close(), l.discard(path)); err != nil {
			return nil, "", 0, 0, err
		}
	}
	path = filepath.Join(l.o.Dir, spareName(number))
	if f, err = l.o.FS.Create(path); err != nil {
		return nil, "", 0, 0, err
	}
	if err = vfs.Allocate(f, 0, l.o.SegmentBytes); err != nil {
		return nil, "", 0, 0, errors.Join(err, f.Close(), l.discard(path))
	}
	return f, path, l.o.SegmentBytes, 0, nil
}

func (l *Log) popSpare() (path string, ok bool) {
	st := &l.stock
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.spares) == 0 {
		return "", false
	}
	path = st.spares[0]
	st.spares = st.spares[1:]
	return path, true
}

// syncEnded syncs segments that were written without, so that little is left for
// the end.
func (l *Log) syncEnded() {
	l.mu.Lock()
	var ended []*segment
	for _, g := range l.segments {
		if g.lasts != nil && g.dirty {
			ended = append(ended, g)
		}
	}
	l.mu.Unlock()
	for _, g := range ended {
		if err := l.syncDirty(g); err != nil {
			l.inDoubt(g, err)
			return
		}
	}
}

func (l *Log) syncDirty(g *segment) error {
	err := g.f.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	g.dirty = false // or it is not known, and never will be
	return err
}

// syncAll is syncDirty for all segments, before the log is closed, after those that
// are under way.
func (l *Log) syncAll() error {
	l.stock.mu.Lock()
	for l.stock.tending {
		l.stock.settled.Wait()
	}
	l.stock.mu.Unlock()
	l.mu.Lock()
	unsynced := l.unsynced
	var dirty []*segment
	for _, g := range l.segments {
		if g.dirty {
			dirty = append(dirty, g)
		}
	}
	l.mu.Unlock()
	if unsynced != nil {
		return unsynced
	}
	for _, g := range dirty {
		if err := l.syncDirty(g); err != nil {
			return err
		}
	}
	return nil
}

// inDoubt has the log itself say that something that was acknowledged may be
// missing.
func (l *Log) inDoubt(g *segment, err error) {
	l.told(Doubt, g, err)
	l.mu.Lock()
	l.unsynced = err
	l.mu.Unlock()
	l.note(func(s *session) { s.doubt = true })
}

func newSalt() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint32(b[:])
}
