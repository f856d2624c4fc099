package diskqueue

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"qmq/internal/vfs"
)

// SyncError says that an fsync failed. What was written before it and after
// the last good one may or may not be on the platter, and no later success
// changes that.
type SyncError struct {
	Path string
	Err  error
}

func (e *SyncError) Error() string { return fmt.Sprintf("sync %s: %v", e.Path, e.Err) }

// Unwrap returns the file system's error.
func (e *SyncError) Unwrap() error { return e.Err }

// Sync makes everything that was appended when it was called survive a crash
// of the machine, and returns the sequence number up to which (exclusive) the
// log does. Segments that are full get their index. One goroutine at a time
// may call it; Append may go on meanwhile.
//
// After a *SyncError the segment concerned is never appended to again, nor
// synced. After any error the caller stops appending, in strict mode calls
// Rewind, and goes on only after a good Probe.
func (l *Log) Sync() (uint64, error) {
	target := l.End() // what is appended from now on is the next call's
	for {
		if l.abandoned.Load() {
			return l.syncedEnd(), errAbandoned
		}
		s, size, end, index := l.unsynced(target)
		if s == nil {
			return l.syncedEnd(), nil
		}
		err := l.withDescriptors(func() error { return l.syncSegment(s, size, end) })
		if err == nil && index && !l.abandoned.Load() {
			l.writeIndexOf(s)
		}
		l.leaveSynced(s)
		if err != nil && !errors.Is(err, ErrNotFound) { // which it is if reclaimed meanwhile
			return l.syncedEnd(), err
		}
	}
}

// unsynced returns the first segment that has something below target to sync or
// an index to be written, with its extent of this moment.
func (l *Log) unsynced(target uint64) (s *segment, size int64, end uint64, index bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list()
	before := true // all segments before this one are clean
	for _, s := range list[list.from(l.clean):] {
		if before = before && s.indexed && s.syncedSize == s.size; before {
			l.clean = s.base + 1
		}
		if s.unsyncable && s.syncedSize < s.size {
			continue
		}
		index = l.full(s) && !s.indexed // an Append that is at it would be left out
		if max(s.base, s.syncedEnd) < min(s.end, target) || index {
			s.syncing = true
			return s, s.size, s.end, index
		}
	}
	return nil, 0, 0, false
}

func (l *Log) leaveSynced(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.syncing = false
}

// syncedEnd is up to where the log survives a crash of the machine. What left it
// before it was synced does not, until it is given up.
func (l *Log) syncedEnd() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.next
	for _, s := range l.leaving {
		end = min(end, s.survives())
	}
	list := l.list()
	for _, s := range list[list.from(l.clean):] {
		if max(s.base, s.syncedEnd) < s.end {
			return min(end, s.survives())
		}
	}
	return end
}

func (l *Log) syncSegment(s *segment, size int64, end uint64) error {
	if s.syncedSize == size {
		return nil
	}
	l.shared.syncs <- struct{}{}
	defer func() { <-l.shared.syncs }()
	if l.abandoned.Load() { // while it waited
		return errAbandoned
	}
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return err // nothing is known to be lost
	}
	defer l.shared.files.release(h)
	began := time.Now()
	err = h.Sync()
	l.shared.synced.Add(int64(time.Since(began)))
	if errors.Is(err, vfs.ErrRemoved) {
		return l.fileRemoved(s, bare(err))
	}
	if err != nil {
		return l.syncFailed(s, bare(err))
	}
	if !s.nameDurable { // only the syncer reads and writes it
		// A new file's first sync also syncs its name; a recycled one also
		// leaves the directory that it waited in.
		for _, dir := range []string{l.o.Dir, filepath.Dir(l.o.Dir), l.shared.recycle.dir} {
			if dir == "" {
				continue
			}
			err := l.shared.fs.SyncDir(dir)
			if OutOfDescriptors(err) {
				return err // it was not opened: nothing is known to be lost
			}
			if err != nil {
				return l.syncFailed(s, err)
			}
		}
		s.nameDurable = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.syncedSize, s.syncedEnd = size, end
	return nil
}

func (l *Log) syncFailed(s *segment, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.unsyncable = true
	s.rolled = true
	return &SyncError{Path: s.path, Err: err}
}

// fileRemoved is syncFailed for a segment whose file has no name any more, unless the
// log itself has given it up. Its messages can be read as long as the file is open, so
// they are not counted as lost yet.
func (l *Log) fileRemoved(s *segment, err error) error {
	if l.abandoned.Load() {
		return errAbandoned
	}
	l.mu.Lock()
	left := l.left(s)
	f := Finding{Kind: Missing, Path: s.path, Range: s.numbers(), Err: err}
	l.mu.Unlock()
	if left {
		return fmt.Errorf("%s: %w", s.path, ErrNotFound)
	}
	l.found(f)
	return l.syncFailed(s, err)
}

// writeIndexOf writes the index of a full, synced segment. When it cannot be
// written the segment is scanned at the next start, which is all that is lost.
func (l *Log) writeIndexOf(s *segment) {
	lists, err := l.listsOf(s)
	if err == nil && s.end > s.base {
		err = writeIndex(l.shared.fs, s.indexPath(), l.drawIndex(s, lists))
	}
	if err != nil {
		l.o.Logger.Warn("segment index not written", "path", s.indexPath(), "error", err)
	}
	l.mu.Lock()
	s.indexed = true
	if err == nil {
		s.marks, s.only, s.listsOnDisk = nil, nil, !lists.empty()
	}
	gone := l.left(s)
	l.mu.Unlock()
	if gone { // meanwhile, and perhaps before the index was there to be removed
		l.shared.fs.Remove(s.indexPath())
	}
}

// drawIndex encodes the index of a full segment, in which readers may find
// damage at any time.
func (l *Log) drawIndex(s *segment, lists sidelists) []byte {
	return encodeIndex(&segment{layout: l.layoutOf(s), salt: s.salt}, lists)
}

// Rewind takes back what was appended behind the last good Sync, after a
// failed one in strict mode: none of it was answered for, so its numbers are
// used again in a new segment, whose base tells recovery that the old ones do
// not count. Readers see nothing of it from now on; until the next good Sync
// it may come back after a crash of the machine, but not after one of the
// process. What the log held when it was opened stays, synced or not. Nothing
// may be appending or syncing.
func (l *Log) Rewind() {
	l.hot.clear()
	last, removed := l.takeBack()
	l.shared.chunks.rewind(l, l.End())
	for _, s := range removed {
		l.shared.files.forget(s)
		l.shared.fs.Remove(s.path)
	}
	if last != nil {
		l.truncate(last)
	}
}

// takeBack cuts the first segment that is not synced as a whole, and takes out
// the later ones, and it too if nothing of it is left.
func (l *Log) takeBack() (cut *segment, removed []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endActive()
	list := l.list()
	first := slices.IndexFunc(list, func(s *segment) bool { return !s.recovered && s.syncedSize < s.size })
	if first < 0 {
		return nil, nil
	}
	cut = list[first]
	cut.cut()
	l.next, l.written = cut.end, cut.end
	keep := first + 1
	if cut.end == cut.base {
		l.written = cut.prevEnd // which all that were made since Open have
		keep, cut = first, nil
	}
	removed = list[keep:]
	l.setList(slices.Clone(list[:keep]))
	l.sumUp()
	return cut, removed
}

// truncate cuts a segment's file at the end of its records. It is not needed
// for safety: a scan comes to the same end, because the next segment starts
// there.
func (l *Log) truncate(s *segment) {
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return
	}
	defer l.shared.files.release(h)
	if err := h.Truncate(s.size); err != nil {
		l.o.Logger.Warn("segment not truncated", "path", s.path, "error", bare(err))
	}
}

// sumUp counts the bytes of the segments. The caller holds l.mu.
func (l *Log) sumUp() {
	sum := int64(0)
	for _, s := range l.list() {
		sum += s.size
	}
	l.bytes.Store(sum)
}
