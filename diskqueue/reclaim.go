package diskqueue

import (
	"math"
	"slices"

	"qmq/internal/seqset"
)

// A segment goes in three steps, so that its caller can see to each: it is taken
// out of the log, which is a matter of memory; its numbers are journalled as
// given up; its files are removed or wait to be used again.

// ReclaimAt is the sequence number that DetachBelow must be called with, at
// least, to give anything up; the largest number when nothing can be.
func (l *Log) ReclaimAt() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list()
	if len(list) == 0 || !l.full(list[0]) {
		return math.MaxUint64
	}
	return list[0].end
}

// Bytes is how long the segments' files are, all together.
func (l *Log) Bytes() int64 { return l.bytes.Load() }

// full says that nothing will be appended to s, nor is it now. A failed sync
// ends a segment while the appender may be writing to it; it stays the active
// one until the appender knows. The caller holds l.mu.
func (l *Log) full(s *segment) bool { return s.rolled && s != l.active }

// Extent is a segment, for whoever decides what is needed of it.
type Extent struct {
	Numbers seqset.Range
	Bytes   int64 // of the file, header included
	Full    bool  // nothing will be appended to it
}

// Extents lists the segments, ascending.
func (l *Log) Extents() []Extent {
	l.mu.Lock()
	defer l.mu.Unlock()
	segments := l.list()
	list := make([]Extent, 0, len(segments))
	for _, s := range segments {
		list = append(list, Extent{Numbers: s.numbers(), Bytes: s.size, Full: l.full(s)})
	}
	return list
}

// EndSegment ends the segment that is appended to, so that what is in it can be
// given up: the next Append begins another. An Append under way ends first. A
// segment without records goes on.
func (l *Log) EndSegment() {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.active
	if s == nil || s.end == s.base && !l.appending {
		return
	}
	if s.rolled = true; !l.appending {
		l.endActive()
	}
}

// Detached is a segment that is not part of its log any more and whose files
// are still there.
type Detached struct {
	Numbers seqset.Range
	// GivenUp is Numbers and those before them that no record ever had.
	GivenUp seqset.Range
	segment *segment
}

// DetachBelow takes the full segments out of the log that lie wholly below seq.
func (l *Log) DetachBelow(seq uint64) []Detached {
	if l.ReclaimAt() > seq {
		return nil
	}
	return l.detach(func(s *segment) bool { return s.end <= seq })
}

// Detach takes the full segments out of the log that hold exactly these numbers.
func (l *Log) Detach(numbers []seqset.Range) []Detached {
	if len(numbers) == 0 {
		return nil
	}
	return l.detach(func(s *segment) bool { return slices.Contains(numbers, s.numbers()) })
}

func (l *Log) detach(goes func(*segment) bool) (list []Detached) {
	l.mu.Lock()
	var left segmentList
	for _, s := range l.list() {
		if !l.full(s) || !goes(s) {
			left = append(left, s)
			continue
		}
		l.bytes.Add(-s.size)
		if s.syncedSize < s.size {
			l.leaving = append(l.leaving, s)
		}
		list = append(list, Detached{Numbers: s.numbers(), GivenUp: s.covers(), segment: s})
	}
	l.setList(left)
	l.mu.Unlock()
	for _, d := range list {
		l.shared.chunks.forget(l, d.Numbers)
		l.Release(d.segment.records())
	}
	return list
}

// RemoveFiles removes the files of segments that were taken out, or keeps them
// to be used again. Their numbers are journalled as given up by now. One that
// somebody is reading is not written over but removed: the reader goes on with
// what it has open.
func (l *Log) RemoveFiles(list []Detached) {
	l.mu.Lock()
	l.leaving = slices.DeleteFunc(l.leaving, func(s *segment) bool {
		return slices.ContainsFunc(list, func(d Detached) bool { return d.segment == s })
	})
	l.mu.Unlock()
	for _, d := range list {
		l.removeFiles(d.segment, true)
	}
}

// Reclaim gives up the segments that lie wholly below seq without telling
// anybody.
func (l *Log) Reclaim(seq uint64) { l.RemoveFiles(l.DetachBelow(seq)) }

// removeFiles removes the files of a segment; again says that they may be kept to
// be used again.
func (l *Log) removeFiles(s *segment, again bool) {
	fs := l.shared.fs
	if err := fs.Remove(s.indexPath()); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("segment index not removed", "path", s.indexPath(), "error", err)
	}
	idle := l.shared.files.forget(s)
	// A much shorter file is not worth keeping: writing past its end is as
	// slow as a new file. One that could not be synced is not trusted again.
	if again && idle && !s.unsyncable && s.records() >= l.o.SegmentBytes/2 && l.shared.recycle.give(s.path, l.leftForGood) {
		return
	}
	if err := fs.Remove(s.path); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("segment not removed", "path", s.path, "error", err)
	}
}

// leftForGood has it survive that a file has left the log, where nothing else tells the next
// start that its numbers were given up: written over, it would be taken for damage if it came
// back under its name.
func (l *Log) leftForGood() error {
	if l.o.End == 0 {
		return nil
	}
	return l.shared.fs.SyncDir(l.o.Dir)
}

// Gaps lists the numbers of [from, to) that no segment holds, ascending.
func (l *Log) Gaps(from, to uint64) (gaps []seqset.Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list().between(from, to) {
		if s.end <= from {
			continue
		}
		if from < s.base {
			gaps = append(gaps, seqset.Range{From: from, To: s.base})
		}
		for _, g := range s.gapsOf() {
			if g = g.Overlap(seqset.Range{From: from, To: to}); g.Len() > 0 {
				gaps = append(gaps, g)
			}
		}
		from = s.end
	}
	if from < min(to, l.next) {
		gaps = append(gaps, seqset.Range{From: from, To: min(to, l.next)})
	}
	return gaps
}
