package diskqueue

import "math"

// ReclaimAt is the sequence number that Reclaim must be called with, at least,
// to give anything up; the largest number when nothing can be.
func (l *Log) ReclaimAt() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 || !l.idle(l.segments[0]) {
		return math.MaxUint64
	}
	return l.segments[0].end
}

// Reclaim gives up the segments that lie wholly below seq: their files wait to
// be used again or are removed. One goroutine at a time may call it.
func (l *Log) Reclaim(seq uint64) {
	l.shared.chunks.forget(l, seq)
	for {
		s, pinned := l.detach(seq)
		if s == nil {
			return
		}
		l.removeFiles(s, pinned)
	}
}

// idle says that nothing is being appended to s. A failed sync ends a segment
// while the appender may be writing to it; it stays the active one until the
// appender knows. The caller holds l.mu.
func (l *Log) idle(s *segment) bool { return s.rolled && s != l.active }

// detach takes the first segment out of the log if it lies below seq.
func (l *Log) detach(seq uint64) (s *segment, pinned bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 || !l.idle(l.segments[0]) || l.segments[0].end > seq {
		return nil, false
	}
	s = l.segments[0]
	l.segments[0] = nil
	l.segments = l.segments[1:]
	s.gone = true
	return s, s.pins > 0
}

// removeFiles gives up a segment's files. One that somebody is reading is not
// written over but removed: the reader goes on with what it has open.
func (l *Log) removeFiles(s *segment, pinned bool) {
	fs := l.shared.fs
	if err := fs.Remove(s.indexPath()); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("segment index not removed", "path", s.indexPath(), "error", err)
	}
	idle := l.shared.files.forget(s)
	// A much shorter file is not worth keeping: writing past its end is as
	// slow as a new file. One that could not be synced is not trusted again.
	if idle && !pinned && !s.unsyncable && s.records() >= l.o.SegmentBytes/2 && l.shared.recycle.give(s.path) {
		return
	}
	if err := fs.Remove(s.path); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("segment not removed", "path", s.path, "error", err)
	}
}
