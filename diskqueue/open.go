package diskqueue

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
)

// Recovery says what Open found amiss.
type Recovery struct {
	TornBytes      int64          // cut off the ends of segments
	Damaged        []seqset.Range // records that cannot be read, now void
	DamagedRecords uint64
	Ignored        []string // segment files that are not this log's, left alone
}

// Open opens the log in o.Dir, which need not exist. Segments that were not
// closed properly are scanned: a torn end is cut off, damaged records become
// void with a copy of their bytes kept beside the segment, and an MPUB of
// which a part is missing is dropped as a whole. No error but that of the file
// system stops it. The log goes on in a new segment.
func Open(shared *Shared, o Options) (*Log, Recovery, error) {
	o.SegmentBytes = min(o.SegmentBytes, 2<<30) // offsets take 32 bits
	l := &Log{shared: shared, o: o}
	l.hot = hotTail{maxMessages: o.HotMessages, budget: &shared.hot}
	var rec Recovery
	if err := l.recoverAll(&rec); err != nil {
		l.Discard()
		return nil, rec, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	end := uint64(0)
	for _, s := range l.segments {
		if s.base > end {
			l.voids = append(l.voids, seqset.Range{From: end, To: s.base})
		}
		for _, d := range s.damaged {
			r := seqset.Range{From: d.from, To: d.to}
			l.voids = append(l.voids, r)
		}
		end = s.end
	}
	// No number is given out twice: go on above all that was ever seen, and
	// above all that can have been given out and lost by this time.
	l.next = max(end, l.next, o.Next, uint64(o.Now())>>8)
	if l.next > end {
		l.voids = append(l.voids, seqset.Range{From: end, To: l.next})
	}
	return l, rec, nil
}

func (l *Log) recoverAll(rec *Recovery) error {
	entries, err := l.shared.fs.ReadDir(l.o.Dir)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	l.dirMade = true
	for _, e := range entries {
		base, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		l.next = max(l.next, base+1) // also above what is left alone
		s := &segment{base: base, end: base, path: filepath.Join(l.o.Dir, e.Name()), recovered: true, rolled: true}
		if err := l.identify(s, rec); err != nil {
			return err
		}
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.base, b.base) })
	kept := make([]*segment, 0, len(l.segments))
	for i, s := range l.segments {
		bound := ^uint64(0)
		if i+1 < len(l.segments) {
			bound = l.segments[i+1].base
		}
		if err := l.recover(s, bound, rec); err != nil {
			return err
		}
		if s.end > s.base {
			kept = append(kept, s)
			continue
		}
		l.shared.files.forget(s)
		if err := l.shared.fs.Remove(s.path); err != nil {
			return err
		}
	}
	l.segments = kept
	return nil
}

// identify adds a file to the segments if it is one of this log.
func (l *Log) identify(s *segment, rec *Recovery) error {
	err := l.readHeader(s)
	switch {
	case err == nil:
		l.segments = append(l.segments, s)
		return nil
	case errors.Is(err, errUnborn):
		l.shared.files.forget(s)
		return l.shared.fs.Remove(s.path)
	case errors.Is(err, errForeign):
		l.shared.files.forget(s)
		rec.Ignored = append(rec.Ignored, s.path)
		l.o.Logger.Error("segment file left alone", "path", s.path, "error", err)
		return nil
	default:
		l.shared.files.forget(s)
		return err
	}
}

var (
	// errForeign means that a file is not a segment of this log.
	errForeign = errors.New("not a segment of this log")
	// errUnborn means that the creation of a segment was cut short before
	// anything was written to it.
	errUnborn = errors.New("segment without a header")
)

// readHeader finds out the salt of a segment file, from its index if the
// header is damaged.
func (l *Log) readHeader(s *segment) error {
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return err
	}
	defer l.shared.files.release(h)
	b := make([]byte, segmentHeaderSize)
	n, err := readFull(h, b, 0)
	if err != nil && !isEnd(err) {
		return err
	}
	head, err := decodeSegmentHeader(b[:n])
	if err == nil && (head.base != s.base || head.incarnation != l.o.Incarnation) {
		return fmt.Errorf("%w: it says that it is of topic %d and starts at %d", errForeign, head.incarnation, head.base)
	}
	if err == nil {
		s.salt = head.salt
		return nil
	}
	idx, indexErr := l.readIndex(s)
	switch {
	case indexErr == nil:
		s.salt = idx.salt
		l.o.Logger.Error("segment header is damaged, its index is not", "path", s.path, "error", err)
		return nil
	case n < segmentHeaderSize && isNotExist(indexErr):
		return errUnborn
	default:
		return fmt.Errorf("%w: %w", errForeign, err)
	}
}

// recover finds out what a segment holds, from its index or by a scan.
func (l *Log) recover(s *segment, bound uint64, rec *Recovery) error {
	idx, err := l.readIndex(s)
	if err == nil && idx.salt == s.salt && idx.end <= bound {
		s.end, s.size, s.index, s.damaged = idx.end, idx.size, idx.index, idx.damaged
		s.delayedOnDisk = len(idx.delayed) > 0
		s.syncedSize, s.syncedEnd, s.indexed, s.nameDurable = s.size, s.end, true, true
		return nil
	}
	found, err := l.scan(s, bound)
	if err != nil {
		return err
	}
	s.end, s.size, s.index, s.damaged = found.end, found.size, found.index, found.damaged
	s.addDelayed(found.delayed)
	for _, d := range s.damaged {
		rec.Damaged = append(rec.Damaged, seqset.Range{From: d.from, To: d.to})
		rec.DamagedRecords += d.to - d.from
		l.keepDamaged(s, d)
	}
	if found.torn > 0 {
		rec.TornBytes += found.torn
		l.o.Logger.Warn("torn end of segment cut off", "path", s.path, "offset", s.size, "bytes", found.torn)
		l.truncate(s)
	}
	return nil
}

// truncate cuts a segment's file at the end of its records. It is not needed
// for safety: a scan comes to the same end, because it is where the bytes are
// torn or the next segment starts.
func (l *Log) truncate(s *segment) {
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return
	}
	defer l.shared.files.release(h)
	if err := h.Truncate(s.size); err != nil {
		l.o.Logger.Warn("segment not truncated", "path", s.path, "error", err)
	}
}

// keepDamagedBytes bounds the copy that is kept of one damaged stretch.
const keepDamagedBytes = 16 << 20

// keepDamaged reports a damaged stretch and copies its bytes to a file beside
// the segment, for people.
func (l *Log) keepDamaged(s *segment, d damage) {
	path := fmt.Sprintf("%s-%d.damaged", s.path, d.offset)
	l.o.Logger.Error("damaged records are lost", "path", s.path, "offset", d.offset,
		"first", d.from, "records", d.to-d.from, "copy", path)
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return
	}
	defer l.shared.files.release(h)
	b := make([]byte, min(d.resume-d.offset, keepDamagedBytes))
	n, _ := readFull(h, b, d.offset)
	if err := writeNew(l.shared.fs, path, b[:n]); err != nil && !isExist(err) {
		l.o.Logger.Warn("no copy of damaged records kept", "path", path, "error", err)
	}
}

func writeNew(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}
