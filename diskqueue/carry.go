package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sort"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/message"
)

// A carry segment takes the place of segments of which little is still owed: it
// holds those records alone, with their numbers, so its numbers have gaps. It is
// written beside them, synced, and renamed over the first of them; from then on
// it stands for the numbers of all of them, which its header says, and what is
// left of the others is removed, by this start or by a later one.
const carrySuffix = ".carry.tmp"

// errNotNow refuses a Carry that may work later.
var errNotNow = errors.New("segments are in use")

// run is records with consecutive numbers in a carry segment. A longer one is
// cut every indexStride bytes, so that a record is found near the start of one.
type run struct {
	seq    uint64
	count  uint32
	offset uint32 // of the first
}

func (r run) end() uint64 { return r.seq + uint64(r.count) }

// runOf is the index in runs of the run with seq.
func runOf(runs []run, seq uint64) (i int, ok bool) {
	i = sort.Search(len(runs), func(i int) bool { return runs[i].end() > seq })
	return i, i < len(runs) && runs[i].seq <= seq
}

// maxStretchRuns is how many runs that go on in each other are read at a time.
const maxStretchRuns = largeStretch / indexStride

// locateRun finds the run with seq, and how far one may read on from its start.
func (s *segment) locateRun(seq uint64) (p place, ok bool) {
	i, ok := runOf(s.runs, seq)
	if !ok {
		return p, false
	}
	r := s.runs[i]
	p = place{seq: r.seq, offset: int64(r.offset), end: r.end(), limit: s.size}
	last := i
	for ; last+1 < len(s.runs) && last-i < maxStretchRuns && s.runs[last+1].seq == p.end; last++ {
		p.end = s.runs[last+1].end()
	}
	if last+1 < len(s.runs) {
		p.limit = int64(s.runs[last+1].offset)
	}
	return p, true
}

// holds says whether the segment has a record of a number that it stands for.
func (s *segment) holds(seq uint64) bool {
	if !s.carried {
		return true
	}
	_, ok := runOf(s.runs, seq)
	return ok
}

// noteRun adds a record of a carry segment.
func noteRun(runs []run, seq uint64, offset int64) []run {
	if n := len(runs); n > 0 && runs[n-1].end() == seq && offset-int64(runs[n-1].offset) < indexStride {
		runs[n-1].count++
		return runs
	}
	return append(runs, run{seq: seq, count: 1, offset: uint32(offset)})
}

// gapsOf lists the numbers of the segment that no record has.
func (s *segment) gapsOf() (gaps []seqset.Range) {
	if !s.carried {
		return nil
	}
	at := s.base
	for _, r := range s.runs {
		if at < r.seq {
			gaps = append(gaps, seqset.Range{From: at, To: r.seq})
		}
		at = r.end()
	}
	if at < s.end {
		gaps = append(gaps, seqset.Range{From: at, To: s.end})
	}
	return gaps
}

// scanCarry reads all of a carry segment, whose file has size bytes. It was
// synced before it got its name, so what does not verify in it is damage.
func scanCarry(f io.ReaderAt, s *segment, size int64) (scanned, error) {
	sc := scanner{f: &around{f: f}, salt: s.salt, limit: min(size, math.MaxUint32), gaps: true}
	out := scanned{end: s.end, size: s.start}
	at, held, behind := s.base, uint32(0), false // behind: right behind damage
	for {
		rec, err := sc.record(out.size)
		if err != nil {
			return scanned{}, err
		}
		if rec != nil && message.SeqOf(rec) >= at && message.SeqOf(rec) < s.end {
			out.takeCarried(message.Decode(rec), len(rec), behind)
			at, held, behind = message.SeqOf(rec)+1, held+1, false
			continue
		}
		if held >= s.count {
			return out, nil
		}
		resume, seq, found, err := sc.next(out.size+1, at, s.end)
		if err != nil {
			return scanned{}, err
		}
		if !found {
			resume, seq = max(sc.limit, out.size), s.end
		}
		if at < seq {
			out.damaged = append(out.damaged, damage{from: at, to: seq, offset: out.size, resume: resume})
		}
		if at, out.size, behind = seq, resume, true; !found {
			return out, nil
		}
	}
}

// takeCarried adds a good record of a carry segment, behind damage or not.
func (f *scanned) takeCarried(v message.View, size int, behind bool) {
	if behind {
		f.runs = append(f.runs, run{seq: v.Seq, count: 1, offset: uint32(f.size)})
	} else {
		f.runs = noteRun(f.runs, v.Seq, f.size)
	}
	if m, ok := v.Mark(); ok {
		f.marks = append(f.marks, m)
	}
	f.size += int64(size)
}

// held is how many records of a carry segment are there.
func (s *segment) held() (n uint32) {
	for _, r := range s.runs {
		n += r.count
	}
	return n
}

// Carry puts a carry segment in the place of the full, adjacent segments that
// hold exactly these numbers. It keeps the records of keep, ascending and
// disjoint; with all else it is done for good, which giveUp journals: it is
// called when the new segment is synced, with what is in no record of it. The
// error of giveUp, or of anything before, leaves everything as it was. Readers
// go on meanwhile. One goroutine at a time may call Carry, Detach or DetachBelow.
func (l *Log) Carry(numbers, keep []seqset.Range, giveUp func(gaps []seqset.Range) error) error {
	old, err := l.carriable(numbers)
	if err != nil {
		return err
	}
	first, last := old[0], old[len(old)-1]
	header := segmentHeader{base: first.base, prevEnd: first.prevEnd, prevKnown: first.prevKnown, end: last.end}
	c, err := l.carryOver(old, nil, header, keep, giveUp)
	if err == nil {
		l.settleCarry(old, c)
	}
	return err
}

// carryOver writes a carry segment and puts it, behind what is left of the first
// of the old ones if anything is, into their place.
func (l *Log) carryOver(old []*segment, left *segment, header segmentHeader, keep []seqset.Range, giveUp func([]seqset.Range) error) (*segment, error) {
	w, err := l.writeCarry(header, keep)
	if err != nil {
		return nil, err
	}
	h := l.shared.files.adopt(w.s, w.f) // and held: it must not be opened before it has its name
	defer l.shared.files.release(h)
	fresh := []*segment{w.s}
	if left != nil {
		fresh = []*segment{left, w.s}
	}
	if err = giveUp(w.s.gapsOf()); err == nil {
		err = l.replace(old, fresh)
	}
	if err != nil {
		l.undoCarry(w)
		return nil, err
	}
	for _, s := range old {
		l.shared.files.forget(s)
	}
	if err := l.shared.fs.Rename(w.path, w.s.path); err != nil {
		l.bringBack(old, fresh)
		l.undoCarry(w)
		return nil, err
	}
	return w.s, nil
}

// carriable finds the segments that are to be carried, and says whether they can be.
func (l *Log) carriable(numbers []seqset.Range) ([]*segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := slices.IndexFunc(l.segments, func(s *segment) bool { return s.numbers() == numbers[0] })
	if first < 0 || first+len(numbers) > len(l.segments) {
		return nil, errNotNow
	}
	old := slices.Clone(l.segments[first : first+len(numbers)])
	for i, s := range old {
		if s.numbers() != numbers[i] || !l.full(s) || s.syncing {
			return nil, errNotNow
		}
	}
	return old, nil
}

// carrier writes a carry segment.
type carrier struct {
	l    *Log
	s    *segment
	path string // before it takes the place of the others
	f    vfs.File
	buf  []byte
	held int64 // of the budget of a log in memory
}

// carryBuffer is about how much is written at a time.
const carryBuffer = 1 << 20

// writeCarry writes and syncs the carry segment beside the old ones.
func (l *Log) writeCarry(header segmentHeader, keep []seqset.Range) (*carrier, error) {
	header.version, header.incarnation, header.salt, header.created = carryVersion, l.o.Incarnation, newSalt(), l.o.Now()
	w := &carrier{l: l, s: newSegment(&header, segmentPath(l.o.Dir, header.base))}
	w.path = filepath.Join(l.o.Dir, fmt.Sprintf("%016x%s", header.base, carrySuffix))
	fs := l.shared.fs
	if err := fs.Remove(w.path); err != nil && !isNotExist(err) {
		return nil, err
	}
	var err error
	if w.f, err = fs.Create(w.path); err != nil {
		return nil, err
	}
	err = w.copy(keep)
	if err == nil {
		header.count = w.s.held()
		_, err = w.f.WriteAt(header.head(), 0)
	}
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		err = errors.Join(err, w.f.Close(), fs.Remove(w.path))
		l.Release(w.held)
		return nil, err
	}
	s := w.s
	s.count, s.rolled, s.recovered = header.count, true, true // it is synced: nothing of it is ever taken back
	s.syncedSize, s.syncedEnd, s.indexed, s.nameDurable = s.size, s.end, true, true
	return w, nil
}

// copy writes the records of keep that the log holds.
func (w *carrier) copy(keep []seqset.Range) error {
	r := w.l.NewReader()
	defer r.Release()
	for _, k := range keep {
		for seq := k.From; seq < k.To; seq++ {
			v, err := r.Read(seq)
			if errors.Is(err, ErrNotFound) {
				continue // it is in a gap
			}
			if err == nil {
				err = w.add(v)
			}
			if err != nil {
				return err
			}
		}
	}
	return w.flush()
}

func (w *carrier) add(v message.View) error {
	offset := w.s.size + int64(len(w.buf))
	start := len(w.buf)
	w.buf = message.AppendRecord(w.buf, v.Timestamp, v.Flags, v.Attrs, v.Body)
	message.Seal(w.buf[start:], v.Seq, w.s.salt)
	w.s.runs = noteRun(w.s.runs, v.Seq, offset)
	if m, ok := v.Mark(); ok {
		w.s.addMarks([]message.Mark{m})
	}
	if len(w.buf) < carryBuffer {
		return nil
	}
	return w.flush()
}

func (w *carrier) flush() error {
	n := int64(len(w.buf))
	if w.s.size+n > maxCarry || !w.l.Hold(n) {
		return errNotNow
	}
	if w.l.shared.memory {
		w.held += n
	}
	_, err := w.f.WriteAt(w.buf, w.s.size)
	w.s.size += n
	w.buf = w.buf[:0]
	return err
}

// maxCarry bounds a carry segment, so that offsets fit in 32 bits.
const maxCarry = 2 << 30

// undoCarry gives up a carry segment that is not part of the log.
func (l *Log) undoCarry(w *carrier) {
	l.shared.files.forget(w.s)
	if err := l.shared.fs.Remove(w.path); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("carry segment not removed", "path", w.path, "error", err)
	}
	l.Release(w.held)
}

// replace puts segments into the log in the place of others.
func (l *Log) replace(old, fresh []*segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := slices.Index(l.segments, old[0])
	if first < 0 || l.abandoned.Load() || first+len(old) > len(l.segments) || !slices.Equal(l.segments[first:first+len(old)], old) {
		return errNotNow
	}
	for _, s := range old {
		if s.syncing {
			return errNotNow
		}
	}
	for _, s := range old {
		s.gone = true
	}
	l.segments = slices.Replace(slices.Clone(l.segments), first, first+len(old), fresh...)
	l.sumUp()
	return nil
}

// bringBack undoes replace.
func (l *Log) bringBack(old, fresh []*segment) {
	for _, s := range old {
		l.shared.files.remember(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.segments, fresh[0])
	if i < 0 {
		return
	}
	for _, s := range fresh {
		s.gone = true
	}
	for _, s := range old {
		s.gone = false
	}
	l.segments = slices.Replace(slices.Clone(l.segments), i, i+len(fresh), old...)
	l.sumUp()
}

// settleCarry removes what a carry segment stands for, once its name is durable.
func (l *Log) settleCarry(old []*segment, c *segment) {
	fs := l.shared.fs
	for _, s := range old {
		l.shared.chunks.forget(l, s.numbers())
		l.Release(s.records())
	}
	// The directory itself may be as new as the segments that were carried.
	if err := errors.Join(fs.SyncDir(l.o.Dir), fs.SyncDir(filepath.Dir(l.o.Dir))); err != nil {
		// The old files may be what a loss of power leaves: a later start sees to it.
		l.o.Logger.Warn("segments stay beside the one that stands for them", "path", c.path, "error", err)
		return
	}
	if err := fs.Remove(c.indexPath()); err != nil && !isNotExist(err) { // of the first old one
		l.o.Logger.Warn("segment index not removed", "path", c.indexPath(), "error", err)
	}
	l.writeIndexOf(c)
	for _, s := range old[1:] {
		l.removeFiles(s, true)
	}
}

// OwedBytes is how many bytes of records the numbers of owed, ascending and
// disjoint, take in the segment with these numbers: at least low and at most
// high, as far as the index tells.
func (l *Log) OwedBytes(numbers seqset.Range, owed []seqset.Range) (low, high int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.segments, func(s *segment) bool { return s.base == numbers.From })
	if i < 0 {
		return 0, 0
	}
	for st := range l.segments[i].stretches() {
		n := uint64(0)
		for len(owed) > 0 && owed[0].To <= st.numbers.From {
			owed = owed[1:]
		}
		for _, o := range owed {
			if o.From >= st.numbers.To {
				break
			}
			n += o.Overlap(st.numbers).Len()
		}
		switch {
		case n == 0:
		case n == st.numbers.Len():
			low, high = low+st.bytes, high+st.bytes
		default:
			low, high = low+int64(n)*message.HeaderSize, high+st.bytes
		}
	}
	return low, high
}

// Measure is how many bytes the records of owed take. It reads them.
func (l *Log) Measure(owed []seqset.Range) (n int64, err error) {
	r := l.NewReader()
	defer r.Release()
	for _, o := range owed {
		for seq := o.From; seq < o.To; seq++ {
			v, err := r.Read(seq)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return n, err
			}
			n += int64(message.HeaderSize + len(v.Attrs) + len(v.Body))
		}
	}
	return n, nil
}

// stretch is a part of a segment between two places that its index knows.
type stretch struct {
	numbers seqset.Range
	bytes   int64
}

// stretches lists the parts of a segment, ascending. The log's lock is held.
func (s *segment) stretches() func(yield func(stretch) bool) {
	return func(yield func(stretch) bool) {
		if s.carried {
			for i, r := range s.runs {
				to := s.size
				if i+1 < len(s.runs) {
					to = int64(s.runs[i+1].offset)
				}
				if !yield(stretch{seqset.Range{From: r.seq, To: r.end()}, to - int64(r.offset)}) {
					return
				}
			}
			return
		}
		for i, e := range s.index {
			st := stretch{seqset.Range{From: s.base + uint64(e.rel), To: s.end}, s.size - int64(e.offset)}
			if i+1 < len(s.index) {
				st.numbers.To = s.base + uint64(s.index[i+1].rel)
				st.bytes = int64(s.index[i+1].offset) - int64(e.offset)
			}
			if !yield(st) {
				return
			}
		}
	}
}

// InUse says that a Carry was refused because of what goes on now, and may be
// tried again.
func InUse(err error) bool { return errors.Is(err, errNotNow) }
