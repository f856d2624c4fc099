// Package journal remembers the topology (topics, channels, what is paused or
// emptied) and the state of every channel: it writes both to append-only logs
// behind the work, gathers them in checkpoints, and replays them at start. It
// never deletes what it does not know and never refuses to start over damaged
// files: what it cannot read means that messages are delivered again. One
// goroutine per Journal writes and one syncs; they sleep until somebody commits
// or a deadline comes, and Close stops them.
package journal

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/histogram"
	"qmq/internal/vfs"
	"qmq/state"
)

// ErrClosed is what Commit and Flush return after Close.
var ErrClosed = errors.New("journal is closed")

// Options says where a journal is and how eagerly it writes.
type Options struct {
	FS  vfs.FS
	Dir string // made when missing
	// SyncTopology makes Commit wait for fdatasync.
	SyncTopology bool
	// Interval is how long the changes of a channel wait after its Mark; default
	// 25 ms, so that they are written within 50 ms also when the machine is busy.
	// After a failed write they wait for the retry, at most 1 s.
	Interval time.Duration
	// Bytes is how much of the channels' changes goes into one write, give or
	// take one channel's; default 64 KiB. Commits are served in between.
	Bytes int
	// SyncEvery is how long what was written waits for its sync at most, unless
	// somebody asks for it; default 2 s.
	SyncEvery time.Duration
	// BootID tells this boot of the machine from others; empty: unknown.
	BootID string
	// CheckpointBytes is how long the logs since the last checkpoint may grow;
	// default 64 MiB.
	CheckpointBytes int64
	// CheckpointEvery is how long after the first write since the last
	// checkpoint there is the next; default 60 s.
	CheckpointEvery time.Duration
	// Reserve is the room, in bytes, that each of a few files takes that the
	// journal keeps on the disk so that it can be written while the disk is
	// full: more where checkpoints are larger. 0: there is no reserve.
	Reserve int64
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// OnHealth is called with the error of each write that failed, and with nil
	// after the first good one again. It is called from the writer goroutine
	// and must not call the Journal. A checkpoint that fails is logged and
	// tried again, and is not reported here. May be nil.
	OnHealth func(error)
}

func (o Options) withDefaults() Options {
	o.Interval = cmp.Or(o.Interval, 25*time.Millisecond)
	o.Bytes = cmp.Or(o.Bytes, 64<<10)
	o.SyncEvery = cmp.Or(o.SyncEvery, 2*time.Second)
	o.CheckpointBytes = cmp.Or(o.CheckpointBytes, 64<<20)
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, time.Minute)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.OnHealth == nil {
		o.OnHealth = func(error) {}
	}
	return o
}

// Journal is an open journal. All methods may be called concurrently.
type Journal struct {
	o       Options
	wake    chan struct{} // capacity 1: the writer looks again
	stopped chan struct{} // closed when the writer has ended
	log     atomic.Uint64 // number of the log that is written to
	failure error         // of Close; read after stopped is closed
	timings timings

	// mu guards what follows. It is held for moments only, never across I/O or a
	// call of a Source, so that Mark may be called under a channel's lock.
	mu        sync.Mutex
	queue     []*request
	collector *state.Collector
	unsynced  error // of a sync that failed since the writer looked
	closing   bool

	syncer *syncer
}

// Timings count how long writes and syncs of the journal's files took, also those that
// failed. Nobody but the journal adds to them.
func (j *Journal) Timings() (writes, syncs *histogram.Histogram) {
	return &j.timings.writes, &j.timings.syncs
}

// request is a Commit, a Settle, or else a Flush that waits.
type request struct {
	entries []state.Entry
	settles bool
	done    chan error // capacity 1
}

// Open reads the journal in o.Dir and starts a new log in it, durably. On a full
// disk it takes the log out of the reserve, or does without one until there is
// room. What it found is the caller's. Damage is logged and told; the
// errors returned are those of the file system, and of files that a newer
// version of the program wrote.
func Open(o Options) (*Journal, *Found, error) {
	o = o.withDefaults()
	files, err := tidy(o.FS, o.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	r := newReplay(o.FS, o.Dir, o.BootID, o.Logger)
	if err := r.run(files); err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		o:         o,
		wake:      make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		collector: state.NewCollector(o.Interval),
	}
	j.syncer = newSyncer(o.SyncEvery, j.synced)
	w := newWriter(j, r, files)
	if err := w.firstLog(r); noRoom(err) {
		w.failed(err) // what is known can be served; commits are refused until there is room
	} else if err != nil {
		return nil, nil, fmt.Errorf("journal: starting a log: %w", err)
	}
	j.syncer.inherit(o.FS, o.Dir, slices.Sorted(maps.Keys(r.logs)), w.log)
	go j.syncer.run()
	go w.run()
	found := r.found
	return j, &found, nil
}

// makeDir makes the folder if need be, durably.
func makeDir(fsys vfs.FS, dir string) error {
	parent := filepath.Dir(dir)
	if _, err := fsys.ReadDir(dir); err != nil {
		if parent != dir {
			if err := makeDir(fsys, parent); err != nil {
				return err
			}
		}
		if err := fsys.MkdirAll(dir); err != nil {
			return err
		}
	}
	return fsys.SyncDir(parent) // also when it is there: it may have been made just before a crash
}

// tidy makes the folder, removes checkpoints that were not finished, and lists
// the rest.
func tidy(fsys vfs.FS, dir string) (listing, error) {
	if err := makeDir(fsys, dir); err != nil {
		return listing{}, err
	}
	files, err := list(fsys, dir)
	if err != nil {
		return listing{}, err
	}
	for _, n := range files.temporary {
		if err := fsys.Remove(filepath.Join(dir, fileName(n, temporarySuffix))); err != nil {
			return listing{}, err
		}
	}
	return files, nil
}

// Commit writes entries, all or none, and returns when they are written (and
// synced, with Options.SyncTopology). Callers at the same time share a write.
// After an error the entries are not there; only when they could neither be
// written whole nor be cut off again, or the machine fails just then, may a
// later Open see them.
func (j *Journal) Commit(entries ...state.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return j.ask(&request{entries: entries, done: make(chan error, 1)})
}

// Settle is Commit, and says that the start is complete: all that the end of the
// machine can have taken is noted, in these entries or before. Until then a start
// after it does not take this one for one of the same boot, see Found.SameBoot:
// it cannot tell what is missing from what was taken.
func (j *Journal) Settle(entries ...state.Entry) error {
	return j.ask(&request{entries: entries, settles: true, done: make(chan error, 1)})
}

// CommitDurable is Commit that has also synced the entries when it returns;
// callers at the same time share the sync. When only the sync fails, the
// entries count, but may be gone after the end of the machine.
func (j *Journal) CommitDurable(entries ...state.Entry) error {
	if err := j.Commit(entries...); err != nil {
		return err
	}
	return j.Durable()
}

// Durable returns when every Commit that returned before the call is synced,
// those of former processes included; it costs an atomic comparison when they
// are. Callers at the same time share a sync. After an error it is not known
// what of them is on the disk; it goes on failing until a checkpoint has
// brought all of them there, which is tried at once and then less and less often.
func (j *Journal) Durable() error {
	if err := j.syncer.durable(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// NoteEnd notes up to where (exclusive) a topic's log is synced and, at least,
// written. It neither blocks nor waits: the note is written within
// Options.Interval.
func (j *Journal) NoteEnd(topic, synced, written uint64) {
	j.mu.Lock()
	first := j.collector.NoteEnd(state.TopicEnd{Topic: topic, Synced: synced, Written: written}, time.Now())
	j.mu.Unlock()
	if first {
		j.wakeWriter()
	}
}

// synced is called by the syncer after each sync, with its error.
func (j *Journal) synced(err error) {
	if err != nil {
		j.mu.Lock()
		j.unsynced = err
		j.mu.Unlock()
	}
	j.wakeWriter()
}

// Log is the number of the log that is being written to; it grows. What is
// committed later is in this log or a later one.
func (j *Journal) Log() uint64 { return j.log.Load() }

// Position is Log, and how long that log is at least: whatever was committed
// before is in so many bytes of it, or in an earlier one. 0 bytes: it is not known.
func (j *Journal) Position() (log uint64, end int64) {
	if log, end = j.syncer.position(); log == 0 {
		return j.Log(), 0
	}
	return log, end
}

// OnDisk is a length that a log has on the disk; 0: it is not known, as of one
// that is not written to any more.
func (j *Journal) OnDisk(log uint64) int64 { return j.syncer.onDisk(log) }

// Flush writes all changes of marked sources now. It does not sync.
func (j *Journal) Flush() error {
	return j.ask(&request{done: make(chan error, 1)})
}

func (j *Journal) ask(r *request) error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return ErrClosed
	}
	j.queue = append(j.queue, r)
	j.mu.Unlock()
	j.wakeWriter()
	return <-r.done
}

// Attach makes s speak for its channel from now on: checkpoints ask it instead
// of writing what was replayed. It is to be called when the channel's creation
// is committed, or its state replayed, and before the first Mark.
func (j *Journal) Attach(s state.Source) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.collector.Attach(s)
}

// Detach lets go of s, at the next checkpoint: should its channel not be
// deleted by then, s is asked a last time and the journal itself keeps the
// answer for the checkpoints to come.
func (j *Journal) Detach(s state.Source) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.collector.Detach(s)
}

// Mark says that s has changes; the writer calls s.Changes within
// Options.Interval. It neither blocks nor calls s.
func (j *Journal) Mark(s state.Source) {
	j.mu.Lock()
	first := j.collector.Mark(s, time.Now())
	j.mu.Unlock()
	if first {
		j.wakeWriter()
	}
}

// Close writes what is pending and a last checkpoint, syncs, and waits for the
// writer to end. Its error says that something marked may not be on disk.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closing = true
	j.mu.Unlock()
	j.wakeWriter()
	<-j.stopped
	return j.failure
}

func (j *Journal) wakeWriter() {
	select {
	case j.wake <- struct{}{}:
	default: // it is awake already
	}
}
