package raftlog

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"qmq/internal/vfs"
)

const (
	// groupBytes is where a write ends, unless one update alone is larger.
	groupBytes = 4 << 20
	// maxKeptBuffer is how large a buffer is kept for the next write.
	maxKeptBuffer = 2 * groupBytes
	// retryPause is how long the writer waits for room on a full disk.
	retryPause = 500 * time.Millisecond
	// lookEvery is how often it is looked whether the file is still there where no sync
	// says so.
	lookEvery = time.Second
	// maxUpdate is what an update may take, so that offsets fit in 32 bits.
	maxUpdate = 1 << 30
)

// writer is what the one who writes owns: the goroutine, or who calls Flush.
type writer struct {
	stopped chan struct{}
	pending []*Update // taken from the queue, not told yet
	buf     []byte
	active  *segment // that is written to; nil: none, so a new one is to begin
	retried bool     // the first of pending was written in vain
	stalled bool     // there is no room for a segment
	failed  error    // for good
	looked  time.Time
}

// group is what one write brings to the disk.
type group struct {
	seg     *segment
	updates []*composed
	enc     encoder
	begins  bool // with it the segment begins
	sync    bool
}

// composed is an update of a group: where its entries will stand, or why it was
// refused.
type composed struct {
	*Update
	places  []place
	refused error
}

// run is the writer's goroutine.
func (l *Log) run() {
	defer close(l.writer.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.queue.wake:
		case <-timer.C:
		}
		for l.step() {
		}
		l.queue.mu.Lock()
		closed := l.queue.closed
		l.queue.mu.Unlock()
		if closed {
			l.finish()
			return
		}
		if l.writer.stalled {
			timer.Reset(retryPause)
		}
	}
}

// finish tells those who are left, after the last step.
func (l *Log) finish() {
	for l.step() {
	}
	w := &l.writer
	for _, u := range w.pending { // there is no room for them
		if u.note == kindClosed && w.failed == nil {
			w.failed = errors.New("the disk is full")
		}
		u.tell(ErrClosed)
	}
	w.pending = nil
}

// step writes one group. It returns false when there is nothing to do, or
// nothing can be done now.
func (l *Log) step() bool {
	w := &l.writer
	w.pending, _ = l.queue.take(w.pending)
	if len(w.pending) == 0 {
		return false
	}
	if w.failed != nil {
		l.tell(w.pending, fmt.Errorf("%w: %w", ErrFailed, w.failed))
		w.pending = nil
		return true
	}
	if err := l.ready(); err != nil {
		return l.notReady(err)
	}
	g := l.compose()
	if err := l.write(g); errors.Is(err, vfs.ErrRemoved) {
		l.fail(err)
		return true
	} else if err != nil {
		l.seal(g.seg, err)
		return true
	}
	w.retried = false
	w.pending = w.pending[len(g.updates):]
	l.commit(g)
	for _, u := range g.updates {
		u.tell(u.refused)
	}
	return true
}

func (l *Log) tell(updates []*Update, err error) {
	for _, u := range updates {
		u.tell(err)
	}
}

// ready makes sure of a segment that has room for the first pending update, and
// before the log is closed that all is on the disk.
func (l *Log) ready() error {
	w := &l.writer
	if w.pending[0].note == kindClosed {
		if err := l.syncAll(); err != nil {
			return err
		}
	}
	need := l.sizeOfFirst()
	if g := w.active; g != nil {
		if g.end+need <= g.room || g.end == firstRecord {
			return l.enlarge(g, need)
		}
		if err := l.end(g); err != nil {
			return err
		}
	}
	next, err := l.takeNext()
	if err != nil {
		return err
	}
	w.active = next
	return l.enlarge(next, need)
}

// sizeOfFirst is what the first pending update takes, in a segment that begins
// with it, with the end that stands behind it.
func (l *Log) sizeOfFirst() int64 {
	size := sizeOfUpdate(l.writer.pending[0])
	if size > maxUpdate {
		size = 0 // it is refused
	}
	return size + l.sizeOfBegin() + recordHeader
}

func (l *Log) sizeOfBegin() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := recordSize(17 + len(l.session.boot))
	for _, s := range l.shards {
		size += recordSize(hardSize + 16 + sizeOfMembers(s.members))
	}
	return size
}

// enlarge makes an empty segment long enough for an update that is longer than
// others.
func (l *Log) enlarge(g *segment, need int64) error {
	if g.end+need <= g.room {
		return nil
	}
	if err := vfs.Allocate(g.f, g.room, g.end+need); err != nil {
		_ = g.f.Truncate(g.room) // what is left of it is of no harm
		return err
	}
	g.room = g.end + need
	return nil
}

// end ends a segment that has no room. The error is that its file was removed.
func (l *Log) end(g *segment) error {
	if !l.o.NoSync && g.synced < g.end {
		if err := g.f.Sync(); errors.Is(err, vfs.ErrRemoved) {
			return err
		} else if err != nil {
			l.told(Sealed, g, err) // what was not synced needed no sync
		} else {
			g.synced = g.end
		}
	}
	l.ended(g)
	return nil
}

// ended notes with what a segment ends. One that never began must be gone before
// the next one begins: no later file says that it does not count.
func (l *Log) ended(g *segment) {
	l.writer.active = nil
	l.mu.Lock()
	begun := len(l.segments) > 0 && l.segments[len(l.segments)-1] == g
	if begun {
		g.lasts = make(map[uint32]uint64)
		for id, s := range l.shards {
			g.lasts[id] = s.last()
		}
	}
	l.mu.Unlock()
	if begun {
		return
	}
	g.f.Close() // what was written to it does not count
	if err := errors.Join(l.discard(g.path), l.o.FS.SyncDir(l.o.Dir)); err != nil {
		l.fail(err)
	}
}

// notReady handles that there is no segment to write to.
func (l *Log) notReady(err error) (more bool) {
	w := &l.writer
	if !noRoom(err) {
		l.fail(err)
		return true
	}
	if !w.stalled {
		w.stalled = true
		l.found(Finding{Kind: NoRoom, Path: l.o.Dir, Err: err})
	}
	return false
}

// noRoom says that the disk, or the share of it that one may use, is full, or that
// there are no descriptors: that no file could be made passes, and did no harm.
func noRoom(err error) bool {
	for _, lack := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// fail ends writing for good. In a file that was removed there is more than what is
// being written: all that was acknowledged in it goes with it.
func (l *Log) fail(err error) {
	l.writer.failed = err
	l.found(Finding{Kind: Failed, Path: l.o.Dir, Err: err})
	if errors.Is(err, vfs.ErrRemoved) {
		l.found(Finding{Kind: Doubt, Path: l.o.Dir, Err: err})
	}
}

// seal never writes to a segment again, after an error: what is on the disk behind
// what was synced is not known. What was not told is written once more, elsewhere.
func (l *Log) seal(g *segment, err error) {
	l.told(Sealed, g, err)
	l.ended(g)
	if l.writer.retried && l.writer.failed == nil {
		l.fail(err)
	}
	l.writer.retried = true
}

func (l *Log) told(k FindingKind, g *segment, err error) {
	l.found(Finding{Kind: k, Path: g.path, Offset: g.end, Err: err})
}

func (l *Log) found(f Finding) {
	l.o.Logger.Error("raft log: "+f.Kind.String(), "path", f.Path, "offset", f.Offset, "error", f.Err)
	if l.o.Found != nil {
		l.o.Found(f)
	}
}

// write brings a group to the disk.
func (l *Log) write(g *group) error {
	if len(g.enc.buf) == 0 {
		return nil
	}
	g.enc.buf = append(g.enc.buf, make([]byte, recordHeader)...) // the end; there is room for it
	began := time.Now()
	err := vfs.WriteGathered(g.seg.f, g.enc.start, g.enc.pieces())
	if err == nil && g.sync {
		if err = g.writeAhead(); err == nil {
			err = g.seg.f.Sync()
		}
	}
	if w := &l.writer; err == nil && !g.sync && began.Sub(w.looked) >= lookEvery {
		if w.looked = began; vfs.Removed(g.seg.f) {
			err = fmt.Errorf("%s: %w", g.seg.path, vfs.ErrRemoved)
		}
	}
	if l.o.Took != nil {
		l.o.Took(time.Since(began))
	}
	if l.writer.buf = g.enc.buf[:0]; cap(g.enc.buf) > maxKeptBuffer {
		l.writer.buf = nil
	}
	return err
}

// writeAhead has the syncs of small writes bring nothing but the writes to the disk, as
// they do where the file was written to before: the first sync of a place that was
// only set aside brings that it is used, too, which is dearer than a small write. Where
// writes are large, to write everything twice is what would be dear.
func (g *group) writeAhead() error {
	const small, ahead = 16 << 10, 256 << 10
	seg, end := g.seg, g.enc.offset()
	if end <= seg.used {
		return nil
	}
	seg.used = end
	if end-g.enc.start > small {
		return nil
	}
	to := min(end+ahead, seg.room)
	err := vfs.WriteZeros(seg.f, end, to)
	if err == nil {
		seg.used = to
	}
	return err
}

// commit makes what a group has written part of the shards' logs.
func (l *Log) commit(g *group) {
	w := &l.writer
	if w.stalled {
		w.stalled = false
		l.found(Finding{Kind: RoomAgain, Path: l.o.Dir})
	}
	if len(g.enc.buf) == 0 {
		return
	}
	end := g.enc.offset() - recordHeader
	l.mu.Lock()
	g.seg.end = end
	if g.sync {
		g.seg.synced = end
	} else {
		g.seg.dirty = true
	}
	if g.begins {
		l.segments = append(l.segments, g.seg)
	}
	for _, u := range g.updates {
		if u.refused == nil {
			l.apply(g.seg, u)
		}
	}
	l.evict()
	l.mu.Unlock()
	if g.begins {
		l.kick()
	}
}

// apply makes an update part of its shard's log. mu
func (l *Log) apply(g *segment, u *composed) {
	switch u.note {
	case kindOpened:
		l.session = u.session
		return
	case kindClosed:
		return
	}
	s := l.shard(u.Shard)
	if m := u.Snapshot; m != nil {
		s.restart(position{m.GetIndex(), m.GetTerm()}, m.GetConfState())
		s.allowed = m.GetIndex()
		s.trim(0, 0)
		for _, older := range l.segments {
			delete(older.lasts, u.Shard)
		}
	}
	for i, e := range u.Entries {
		at := position{e.GetIndex(), e.GetTerm()}
		if err := s.append(at, g, u.places[i]); err != nil {
			panic(err) // compose has looked
		}
		s.trim(0, at.index-1)
		s.keep(e)
	}
	if h := hardStateOf(u.HardState); h != (hardState{}) {
		s.hard = h
	}
}
