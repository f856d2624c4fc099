// Package diskqueue is a segmented, append-only log of records on disk: it
// appends batches, reads records back by sequence number, recovers after a
// crash and gives up segments that nobody needs. It knows nothing of topics or
// channels, decides nothing about when to sync, and starts no goroutine.
//
// One goroutine at a time may append, one may sync, any number may read.
package diskqueue

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/message"
)

// ErrNotFound means that a sequence number is not, or no longer, in the log.
var ErrNotFound = errors.New("not in the log")

// Options configure one log.
type Options struct {
	Dir         string // made when the first record is appended
	Incarnation uint64 // of the topic; a segment of another one is not read
	// SegmentBytes is the size at which a segment is full. A batch is never
	// split: a segment with one batch may be larger. At most 2 GiB.
	SegmentBytes int64
	HotMessages  int // newest messages kept in memory; 0 keeps none
	// Next is a lower bound of the next sequence number.
	Next uint64

	// Known says that the caller knows what ought to be there: numbers from
	// Start on, or from the first segment's when Start is 0, that are below
	// KnownEnd, were given to records and are in no segment are reported as
	// missing, unless they are in GivenUp: those no segment need hold any more.
	// What KnownEnd does not cover may have been lost with the power.
	Known    bool
	Start    uint64
	KnownEnd uint64         // one past the last record that must have survived
	GivenUp  []seqset.Range // ascending and disjoint
	// SameBoot says that the machine has not lost power since the log was
	// written to: also what was not synced must be as it was written.
	SameBoot bool
	// Patience is how long records that the medium does not give are tried again
	// before they are given up; 30 s.
	Patience time.Duration
	// Found is called with what a read finds amiss; it must not call the log,
	// which does not tell its Logger of it, as Open does not of Findings: the
	// caller knows which are known already. Nil: nobody wants to know.
	Found func(Finding)

	Now    func() int64 // wall clock, ns since 1970
	Logger *slog.Logger
}

// Log is one log. Append and Sync may run beside each other and beside any
// number of Readers, each of which belongs to one goroutine.
type Log struct {
	shared *Shared
	o      Options
	hot    hotTail

	mu       sync.Mutex // guards what follows and the segments' fields
	segments []*segment // ascending; the last may be the active one
	active   *segment   // nil until the next Append makes one
	next     uint64     // the next sequence number
	written  uint64     // one past the last record that is or was in the log
	dirMade  bool
	// bytes is the sum of the segments' sizes. Written with mu held.
	bytes atomic.Int64
	// appending says that an Append is at the active segment.
	appending bool
	// closedCache is guarded by shared.chunks.mu.
	closedCache bool
	voids       []seqset.Range // found at Open
	loads       []*load        // reads from disk under way

	cached []*cached // guarded by shared.chunks.mu
	// rewinds counts the calls of Rewind: what was read before one may not be
	// what counts now. Written with shared.chunks.mu held.
	rewinds atomic.Uint64
	// abandoned says that the directory is about to go: nothing is synced.
	abandoned atomic.Bool
}

// Appended says what an Append added.
type Appended struct {
	First, End uint64         // sequence numbers, End exclusive
	Marks      []message.Mark // of those messages that have one, ascending
}

// End is one past the highest sequence number written.
func (l *Log) End() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Start is the lowest sequence number held; that of an empty log is its End.
func (l *Log) Start() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return l.next
	}
	return l.segments[0].base
}

// Ends says where the records of the log end: synced is one past the last one
// up to which all survive a crash of the machine, written one past the last one
// written. Both are of records: End may be above them, as numbers are skipped
// at each start. It is what a later start wants to know as KnownEnd.
func (l *Log) Ends() (synced, written uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.segments {
		if s.syncedEnd >= s.end {
			continue
		}
		switch {
		case s.syncedEnd > s.base:
			synced = s.syncedEnd
		case i > 0:
			synced = l.segments[i-1].end
		default:
			synced = s.prevEnd
		}
		return synced, l.written
	}
	return l.written, l.written
}

// HotStart is the lowest sequence number that is in memory; the log's End when
// none is.
func (l *Log) HotStart() uint64 {
	if seq, ok := l.hot.firstSeq(); ok {
		return seq
	}
	return l.End()
}

// TrimAt is the sequence number that TrimHot must be called with, at least, to
// give anything up; the largest number when nothing can be.
func (l *Log) TrimAt() uint64 { return l.hot.trimAt() }

// TrimHot gives up the memory of what lies below seq.
func (l *Log) TrimHot(seq uint64) { l.hot.trim(seq) }

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
	if marks > 0 {
		done.Marks = make([]message.Mark, 0, marks)
	}
	for _, b := range batches {
		seq := done.First + uint64(len(offs))
		for _, m := range b.marks {
			m.Seq += seq
			done.Marks = append(done.Marks, m)
		}
		buf, offs = b.seal(buf, offs, seq, s.salt)
	}
	*scratch = offs
	if err := l.write(s, buf); err != nil {
		l.hot.abandon(space)
		l.endAppend()
		return Appended{}, err
	}
	l.hot.commit(space, done.First, buf, offs)
	l.book(s, done, offs, int64(len(buf)))
	return done, nil
}

// book makes what was written part of the log.
func (l *Log) book(s *segment, done Appended, offs []uint32, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range offs {
		s.note(done.First+uint64(i), s.size+int64(o))
	}
	s.addMarks(done.Marks)
	s.size += size
	l.bytes.Add(size)
	s.end = done.End
	l.next, l.written = done.End, done.End
	if l.appending = false; s.rolled { // meanwhile, by EndSegment or a failed sync
		l.active = nil
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
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return err
	}
	defer l.shared.files.release(h)
	if _, err := h.WriteAt(buf, s.size); err != nil {
		if cutErr := h.Truncate(s.size); cutErr != nil || s.records() >= l.o.SegmentBytes/16 {
			l.roll(s)
		}
		return fmt.Errorf("write %s: %w", s.path, bare(err))
	}
	return nil
}

// writable returns the segment that the next size bytes go to. Until book or
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

// roll ends the active segment. An empty one is forgotten.
func (l *Log) roll(s *segment) {
	l.mu.Lock()
	s.rolled = true
	l.active = nil
	empty := s.end == s.base
	if empty {
		l.segments = l.segments[:len(l.segments)-1]
		l.bytes.Add(-s.size)
		s.gone = true
	}
	l.mu.Unlock()
	if empty {
		l.shared.files.forget(s)
		l.shared.fs.Remove(s.path) // before the next one of that name is made
	}
}

// create makes the next segment and its header.
func (l *Log) create() (*segment, error) {
	if !l.dirMade {
		if err := l.shared.fs.MkdirAll(l.o.Dir); err != nil {
			return nil, err
		}
		l.dirMade = true
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
	l.segments = append(l.segments, s)
	l.bytes.Add(s.size)
	l.active, l.appending = s, true
	return s, nil
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
	if err := l.shared.fs.MkdirAll(l.o.Dir); err != nil {
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

// between pins the segments that hold numbers of [from, to).
func (l *Log) between(from, to uint64) []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*segment
	for _, s := range l.segments {
		if s.base < to && from < s.end {
			s.pins++
			list = append(list, s)
		}
	}
	return list
}

func (l *Log) unpin(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.pins--
}

// Voids lists the sequence numbers from the log's start to its end at the time
// of Open that hold no message: skipped after a stop, or damaged.
func (l *Log) Voids() []seqset.Range { return l.voids }

// Close syncs what is not synced and closes the files. The log must not be
// used any more by then.
func (l *Log) Close() error {
	l.mu.Lock()
	if s := l.active; s != nil {
		s.rolled = true
		l.active = nil
	}
	l.mu.Unlock()
	err := l.syncRest()
	l.discard()
	return err
}

// syncRest syncs all that can be synced: a segment that cannot be does not
// keep the later ones from it.
func (l *Log) syncRest() error {
	var failed error
	for {
		_, err := l.Sync()
		failed = errors.Join(failed, err)
		var one *SyncError // which is not tried again
		if !errors.As(err, &one) {
			return failed
		}
	}
}

// errAbandoned refuses a Sync after Abandon.
var errAbandoned = errors.New("log is about to be removed")

// Abandon says that the log's directory is about to go: a Sync under way ends
// with the file that it is at, and reports an error, as any later one does.
func (l *Log) Abandon() { l.abandoned.Store(true) }

// Discard closes the files without syncing them; their directory is about to
// go.
func (l *Log) Discard() {
	l.mu.Lock()
	l.active = nil
	l.mu.Unlock()
	l.discard()
}

func (l *Log) discard() {
	l.hot.clear()
	l.shared.hot.leave(&l.hot)
	l.shared.chunks.drop(l)
	l.mu.Lock()
	segments := l.segments
	l.segments = nil
	l.mu.Unlock()
	for _, s := range segments {
		l.shared.files.forget(s)
		l.Release(s.records())
	}
}

// Hold takes room for size bytes of records that are about to be appended to a
// log in memory; false when the node's budget has none, though what is in
// memory for speed alone was given up. What was not appended is given back with
// Release. For a log on disk there always is.
func (l *Log) Hold(size int64) bool { return !l.shared.memory || l.shared.hot.hold(size) }

// Release gives room back that Hold took.
func (l *Log) Release(size int64) {
	if l.shared.memory {
		l.shared.hot.used.Add(-size)
	}
}

var _ vfs.File = (*fileHandle)(nil)
