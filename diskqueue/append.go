package diskqueue

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"qmq/internal/vfs"
	"qmq/message"
)

// Appended says what an Append added.
type Appended struct {
	First, End uint64         // sequence numbers, End exclusive
	Marks      []message.Mark // of those messages that have one, ascending
	Only       []message.Only // those that are for one channel, ascending
}

// maxAppend bounds one write, so that offsets within a segment fit in 32 bits.
const maxAppend = 1 << 30

// Append writes the batches, each as a whole, with one write to one segment.
// When it returns nil they are in the kernel: they survive the end of the
// process, and that of the machine after the next successful Sync. After an
// error nothing of them is in the log.
func (l *Log) Append(batches []*Batch) (Appended, error) {
	total, count, marks := 0, 0, 0
	for _, b := range batches {
		total += b.Bytes()
		count += len(b.offsets)
		marks += len(b.marks)
	}
	if count == 0 {
		return Appended{First: l.next, End: l.next}, nil
	}
	if total > maxAppend {
		return Appended{}, fmt.Errorf("%d bytes in one write: at most %d", total, maxAppend)
	}
	s, err := l.writable(int64(total))
	if err != nil {
		return Appended{}, err
	}
	done := Appended{First: l.next, End: l.next + uint64(count)} // only the appender changes next
	space := l.hot.reserve(total)
	scratch := l.shared.takeScratch()
	defer l.shared.scratch.Put(scratch)
	buf, offs := space.buf, (*scratch)[:0]
	l.noting.begin(&s.layout)
	if marks > 0 {
		done.Marks = make([]message.Mark, 0, marks)
	}
	for _, b := range batches {
		seq := done.First + uint64(len(offs))
		for _, m := range b.marks {
			m.Seq += seq
			done.Marks = append(done.Marks, m)
		}
		done.Only = append(done.Only, b.Only(seq)...)
		buf, offs = b.seal(buf, offs, seq, s.salt, &l.noting)
	}
	*scratch = offs
	if err := l.write(s, buf); err != nil {
		l.hot.abandon(space)
		l.endAppend()
		return Appended{}, err
	}
	l.hot.commit(space, done.First, buf, offs)
	l.extend(s, done, int64(len(buf)))
	return done, nil
}

// ErrGap refuses an AppendAt that would leave numbers out.
var ErrGap = errors.New("numbers before it are not in the log")

// AppendAt is Append for batches whose numbers are known: the first record gets
// the number first. What the log has already, as it ends above, is not written
// again, and what is left is written as one: Appended tells of that alone. A
// number below End counts as one that it has, readable or not, so after a stop
// such a log is opened with Options.End. ErrGap is returned when first is above
// End, and nothing is appended. Who repeats a write that ended in the middle
// batches it as it was: an MPUB is there as a whole or not at all.
func (l *Log) AppendAt(first uint64, batches []*Batch) (Appended, error) {
	next := l.next // only the appender changes it
	if first > next {
		return Appended{}, fmt.Errorf("append at %d, the log ends at %d: %w", first, next, ErrGap)
	}
	for i, b := range batches {
		there := next - first // of the batches from i on
		n := uint64(b.Len())
		if n <= there {
			first += n
			continue
		}
		if there == 0 {
			return l.Append(batches[i:])
		}
		left, err := b.behind(int(there))
		if err != nil {
			return Appended{}, fmt.Errorf("append at %d, the log ends at %d: %w", first, next, err)
		}
		return l.Append(append([]*Batch{left}, batches[i+1:]...))
	}
	return Appended{First: next, End: next}, nil
}

// extend makes what was written part of the log.
func (l *Log) extend(s *segment, done Appended, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.addNoted(&l.noting)
	s.addMarks(done.Marks)
	s.only = append(s.only, done.Only...)
	s.size += size
	l.bytes.Add(size)
	s.end = done.End
	l.next, l.written = done.End, done.End
	if l.appending = false; s.rolled { // meanwhile, by EndSegment or a failed sync
		l.endActive()
	}
}

func (l *Log) endAppend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appending = false
}

// write puts buf behind the segment's records. When that fails the file is cut
// back, and if it cannot be, the segment is not written to again: the next
// one's base tells recovery that what may stand behind does not count. Nor is a
// segment of some size: on a full disk only the end of a segment lets its space
// be given up once its messages are done.
func (l *Log) write(s *segment, buf []byte) error {
	var h *fileHandle
	err := l.withDescriptors(func() (err error) { // it may have been closed for another
		h, err = l.shared.files.acquire(s)
		return err
	})
	if err != nil {
		return err
	}
	defer l.shared.files.release(h)
	began := time.Now()
	_, err = h.WriteAt(buf, s.size)
	l.shared.writes.Add(int64(time.Since(began)))
	if err != nil {
		if cutErr := h.Truncate(s.size); cutErr != nil || s.records() >= l.o.SegmentBytes/16 {
			l.roll(s)
		}
		return fmt.Errorf("write %s: %w", s.path, bare(err))
	}
	return nil
}

// writable returns the segment that the next size bytes go to. Until extend or
// endAppend it is not given up.
func (l *Log) writable(size int64) (*segment, error) {
	l.mu.Lock()
	s := l.active
	full := s != nil && (s.rolled || s.records() > 0 && s.records()+size > l.o.SegmentBytes)
	l.appending = s != nil && !full
	l.mu.Unlock()
	if s != nil && !full {
		return s, nil
	}
	if full {
		l.roll(s)
	}
	return l.create()
}

// endActive ends the active segment, if there is one, for good. The caller holds
// l.mu.
func (l *Log) endActive() {
	if s := l.active; s != nil {
		s.rolled = true
		s.fix()
		l.active = nil
	}
}

// roll ends the active segment. An empty one is forgotten.
func (l *Log) roll(s *segment) {
	l.mu.Lock()
	l.endActive()
	empty := s.end == s.base
	if empty {
		l.setList(l.list().without(s))
		l.bytes.Add(-s.size)
	}
	l.mu.Unlock()
	if empty {
		l.shared.files.forget(s)
		l.shared.fs.Remove(s.path) // before the next one of that name is made
	}
}

// create makes the next segment and its header.
func (l *Log) create() (*segment, error) {
	if err := l.makeDir(); err != nil {
		return nil, err
	}
	header := segmentHeader{
		version: segmentVersion, incarnation: l.o.Incarnation, base: l.next, salt: newSalt(), created: l.o.Now(),
		prevEnd: l.written, prevKnown: true, // only the appender changes it
	}
	s := newSegment(&header, segmentPath(l.o.Dir, l.next))
	var f vfs.File
	err := l.withDescriptors(func() (err error) {
		f, err = l.createFile(s.path, header)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.shared.files.release(l.shared.files.adopt(s, f))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setList(l.list().with(s))
	l.bytes.Add(s.size)
	l.active, l.appending = s, true
	return s, nil
}

// makeDir makes the log's directory if it never was there. One that somebody has
// removed is not made again: more than this log may be gone with it, and what were
// written to another one might be served by nobody.
func (l *Log) makeDir() error {
	if l.dirMade.Load() {
		return nil
	}
	err := l.shared.fs.MkdirAll(l.o.Dir)
	l.dirMade.Store(err == nil)
	return err
}

// createFile makes a file that starts with a header, of a recycled one if any
// waits.
func (l *Log) createFile(path string, h segmentHeader) (vfs.File, error) {
	fs := l.shared.fs
	again := h
	again.recycled = true
	if f, ok := l.shared.recycle.take(path, again.head()); ok {
		return f, nil
	}
	// A file of that name can only be one that could not be removed when a
	// write failed: Open goes on above the bases of all files that it sees, so
	// no record with this number was ever committed.
	if err := fs.Remove(path); err != nil && !isNotExist(err) {
		return nil, err
	}
	f, err := fs.Create(path)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(h.head(), 0); err != nil {
		f.Close()
		fs.Remove(path)
		return nil, err
	}
	return f, nil
}

func newSalt() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint32(b[:])
}

// Probe finds out whether the log can be written again after a failure: it
// writes and syncs a file of size bytes beside the segments and removes it.
func (l *Log) Probe(size int) error {
	l.shared.recycle.clear() // the disk may be full
	if err := l.makeDir(); err != nil {
		return err
	}
	path := filepath.Join(l.o.Dir, "probe.tmp")
	if err := l.shared.fs.Remove(path); err != nil && !isNotExist(err) {
		return err
	}
	f, err := l.shared.fs.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, size), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), l.shared.fs.Remove(path))
}
