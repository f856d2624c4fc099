// Package diskqueue is a segmented, append-only log of records on disk: it
// appends batches, reads records back by sequence number, recovers after a
// crash and gives up segments that nobody needs. It knows nothing of topics or
// channels, decides nothing about when to sync, and starts no goroutine.
//
// One goroutine at a time may append, one may sync, any number may read.
package diskqueue

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/seqset"
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
	// Next is where the log goes on: exactly the number that Next returns is the
	// first that an Append gives. Open calls it once, with a number above all that
	// anything in the directory has or names, and fails if it returns a lower one,
	// which may have been given out already. Nil goes on at that number.
	Next func(seen uint64) uint64

	// End is where the caller knows that the log ends, as that of a checkpoint: what
	// is at or above it does not count and is removed, and is appended again by
	// AppendAt. Only a carry segment, which is synced as a whole before it gets its
	// name, is kept to its end. 0: the log ends where its records do.
	End uint64

	Expected // what the caller knows of the log
	// ReadTimeout is how long records that the medium does not give are tried again
	// before they are given up; 30 s.
	ReadTimeout time.Duration
	// Found is called with what a read finds amiss; it must not call the log,
	// which does not tell its Logger of it, as Open does not of Findings: the
	// caller knows which are known already. Nil: nobody wants to know.
	Found func(Finding)

	Now    func() int64 // wall clock, ns since 1970
	Logger *slog.Logger
}

// Expected is what the caller knows of a log that it opens or checks.
type Expected struct {
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
}

// Log is one log. Append and Sync may run beside each other and beside any
// number of Readers, each of which belongs to one goroutine.
type Log struct {
	shared *Shared
	o      Options
	hot    hotTail

	// segments is what the log is made of. A list never changes: mu is held to put
	// another into its place, and nothing to read one.
	segments atomic.Pointer[segmentList]
	// bytes is the sum of the segments' sizes. Written with mu held; whoever reads
	// it may be a moment late.
	bytes atomic.Int64

	// mu guards what follows, which list segments holds, and the segments' fields
	// but for those that say otherwise. It is held for moments, across no I/O.
	mu        sync.Mutex
	active    *segment // nil until the next Append makes one
	next      uint64   // the next sequence number; the appender, which alone changes it, reads it without mu
	written   uint64   // one past the last record that is or was in the log; as next
	appending bool     // an Append is at the active segment
	// clean says that the segments that begin below it are synced and have their
	// index, or are not to have one.
	clean uint64
	loads []*load // reads from disk under way
	// voids are those found at Open and those that jumps left. A list never
	// changes: a jump puts another into its place.
	voids []seqset.Range
	// leaving are the segments that were taken out before all of them was synced,
	// and whose numbers may not be journalled as given up yet.
	leaving []*segment

	// dirMade is that the directory was there: it is not made a second time.
	dirMade atomic.Bool
	noting  noting // the appender's alone

	// What follows is guarded by shared.chunks.mu.
	closedCache bool
	cached      []*cached
	// rewinds counts the calls of Rewind: what was read before one may not be
	// what counts now. Written with shared.chunks.mu held; a reader that looks
	// before and after it reads needs no lock to see that it has changed.
	rewinds atomic.Uint64
	// abandoned says that the directory is about to go: nothing is synced. It is
	// set once.
	abandoned atomic.Bool
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
	if list := l.list(); len(list) > 0 {
		return list[0].base
	}
	return l.next
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

// Voids lists the sequence numbers from the log's start to its end at the time
// of Open that no channel will get a message of: those that no record was given,
// or none need have any more, and those whose records are lost. Those that a jump
// passed over are added to it.
func (l *Log) Voids() []seqset.Range {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.voids
}

// Close syncs what is not synced and closes the files. The log must not be
// used any more by then.
func (l *Log) Close() error {
	l.mu.Lock()
	l.endActive()
	l.mu.Unlock()
	err := l.syncRemaining()
	l.discard()
	return err
}

// syncRemaining syncs all that can be synced: a segment that cannot be does not
// keep the later ones from it.
func (l *Log) syncRemaining() error {
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
	segments := l.list()
	l.setList(nil)
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
