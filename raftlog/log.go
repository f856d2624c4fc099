// Package raftlog is the write-ahead log of a node: one for all its raft shards,
// so that one write and one sync serve all of them. It keeps entries, votes and
// terms; it never acknowledges what is not there, never lets a hard state go back,
// and never takes damage for the end of the log. One goroutine writes; another
// prepares the next file and lets old ones go, while there is something to do.
//
// With Options.Manual there is no goroutine, and Flush does their work.
package raftlog

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs"
)

// Options configure a log. Zero values stand for the defaults that are named.
type Options struct {
	FS  vfs.FS
	Dir string // of its own
	// Cluster and Node say whose log it is. Open refuses another's.
	Cluster, Node uint64
	// Boot names the present life of the machine, and of the mount that Dir is on:
	// what was written without a sync is there as long as it stays the same.
	Boot string
	// NoSync acknowledges updates when they are written, not when they are on the
	// disk.
	NoSync       bool
	SegmentBytes int64 // of a file; 64 MiB
	CacheBytes   int64 // of the newest entries of all shards, in memory; 32 MiB
	// Retain is how many bytes of files are kept that hold nothing but what was
	// compacted, for followers that are behind; 1 GiB. Of those that hold nothing but what
	// is everywhere, one is kept.
	Retain int64
	Manual bool // no goroutine: Flush is called
	// Sum says what the CRC-32C of an entry's data is, if whoever made them has put sums of
	// what is in them into them: they need not be read for another one. Data that have
	// changed since do not verify when they are read from the disk. ok is false where that
	// is not known; nil: it never is.
	Sum func(shard uint32, data []byte) (sum uint32, ok bool)
	// Found is told what happens beside updates; nil: nobody. Like Took, which is told how
	// long each write with its sync has taken, it must not call the log.
	Found  func(Finding)
	Took   func(time.Duration)
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	o.SegmentBytes = max(orDefault(o.SegmentBytes, 64<<20), minSegment)
	o.CacheBytes = orDefault(o.CacheBytes, 32<<20)
	o.Retain = orDefault(o.Retain, 1<<30)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func orDefault(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return v
}

const minSegment = firstRecord + 4096

// Log is a node's write-ahead log. All methods may be called concurrently.
type Log struct {
	o Options

	// mu guards the shards, what is known of their logs and what of their entries
	// is in memory, and the list of segments. It is held for moments, across no I/O.
	mu          sync.Mutex
	shards      map[uint32]*Shard
	segments    []*segment // that have begun, oldest first
	session     session    // as written
	noted       session    // as queued last
	unsynced    error      // why something that was acknowledged may be missing
	shedding    bool       // see Shed; until it is done
	cachedBytes int64

	queue  queue
	writer writer
	stock  stock
}

// Update is what a shard saves at once: all of it is there after a crash, or
// nothing. It, and the entries for good, must not be changed once it is saved.
type Update struct {
	Shard uint32
	// HardState, if it is not empty, takes the place of the former one. Its term is
	// never below that. Where it moves Commit alone it is not synced.
	HardState *raftpb.HardState
	// Entries are consecutive. They take the place of those from their first index on.
	Entries []*raftpb.Entry
	// Snapshot, if there is one, makes the log restart behind its index, before
	// Entries are added.
	Snapshot *raftpb.SnapshotMetadata
	// Done is called once, in the order in which updates were saved, with no lock
	// held, and must not wait: all shards wait for it. With nil the update is on the
	// disk, or with Options.NoSync in the kernel.
	Done func(error)

	note    kind // kindOpened or kindClosed: an update of the log's own
	session session
}

// Shard is the log of a shard, which is empty if nothing was saved for it.
func (l *Log) Shard(id uint32) *Shard {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shard(id)
}

// shard is Shard for who holds mu.
func (l *Log) shard(id uint32) *Shard {
	s := l.shards[id]
	if s == nil {
		s = &Shard{log: l, id: id}
		l.shards[id] = s
	}
	return s
}

// Save queues an update. It waits for nothing and never calls Done itself.
func (l *Log) Save(u *Update) {
	if !l.queue.put(u) {
		go u.tell(ErrClosed)
	}
}

// Whole says that what a torn end may have had is known to be in the log again, or
// was nothing: the next Open does not find it Short. It waits for nothing.
func (l *Log) Whole() { l.note(func(s *session) { s.short = false }) }

// note has the log itself say something else of who writes it.
func (l *Log) note(change func(*session)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.noted)
	l.queue.put(&Update{note: kindOpened, session: l.noted})
}

func (u *Update) tell(err error) {
	if u.Done != nil {
		u.Done(err)
	}
}

// Compact says that the node does not need the entries of a shard up to index any
// more, as far as they are saved. They can be read until their file goes: that of
// Options.Retain and more.
func (l *Log) Compact(shard uint32, index uint64) {
	l.mu.Lock()
	s := l.shard(shard)
	s.allowed = max(s.allowed, min(index, s.last()))
	due := len(l.excess()) > 0
	l.mu.Unlock()
	if due {
		l.kick()
	}
}

// Everywhere says that all others who take part in a shard have its entries up to
// index: files of such entries need not be kept for them. To write over a file again
// soon costs a fraction of writing a new one, whose memory the kernel has to find.
func (l *Log) Everywhere(shard uint32, index uint64) {
	l.mu.Lock()
	s := l.shard(shard)
	s.everywhere = max(s.everywhere, min(index, s.last()))
	due := len(l.excess()) > 0
	l.mu.Unlock()
	if due {
		l.kick()
	}
}

// Pinned is what keeps files of the log from going.
type Pinned struct {
	Shards []uint32 // that need the oldest file that cannot go; ascending
	Bytes  int64    // written from that file on
}

// Pinning says which shards should be compacted next.
func (l *Log) Pinning() (p Pinned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := l.free()
	for _, g := range l.segments[free:] {
		p.Bytes += g.end - firstRecord
	}
	for id, s := range l.shards {
		last := s.last()
		if free < len(l.segments)-1 {
			last = l.segments[free].lasts[id]
		}
		if last > s.allowed {
			p.Shards = append(p.Shards, id)
		}
	}
	slices.Sort(p.Shards)
	return p
}

// free is how many of the oldest segments no shard needs. mu
func (l *Log) free() int {
	for i, g := range l.segments[:max(0, len(l.segments)-1)] {
		for id, last := range g.lasts {
			if last > l.shards[id].allowed {
				return i
			}
		}
	}
	return max(0, len(l.segments)-1)
}

// Shed lets all files go that hold nothing but what was compacted, whatever
// Options.Retain says: the disk is full.
func (l *Log) Shed() {
	l.mu.Lock()
	l.shedding = l.free() > 0
	due := l.shedding
	l.mu.Unlock()
	if due {
		l.kick()
	}
}

// excess is those of the free segments that go: all but the newest of Retain
// bytes, those that nobody else needs but for the newest segment, or all after Shed. mu
func (l *Log) excess() []*segment {
	free := l.segments[:l.free()]
	if l.shedding {
		return free
	}
	n, kept := len(free), int64(0)
	for n > 0 && kept+free[n-1].room <= l.o.Retain {
		n--
		kept += free[n].room
	}
	for n < len(free)-1 && l.isEverywhere(free[n]) {
		n++
	}
	return free[:n]
}

// isEverywhere says whether all others have what a segment holds. mu
func (l *Log) isEverywhere(g *segment) bool {
	for id, last := range g.lasts {
		if last > l.shards[id].everywhere {
			return false
		}
	}
	return true
}

// Flush does with Options.Manual what is to be done now: it writes and syncs
// what is queued, calls Done, and sees to the files. Without, it does nothing.
func (l *Log) Flush() {
	if !l.o.Manual {
		return
	}
	for l.step() {
	}
	if err := l.tend(); err != nil {
		l.o.Logger.Warn("raft log: no file is prepared", "error", err)
	}
}

// Close writes what is queued, syncs it, and marks the log as closed. It is called
// once, when nobody compacts any more; what is saved later is not written.
func (l *Log) Close() error {
	l.queue.put(&Update{note: kindClosed})
	l.queue.close()
	if l.o.Manual {
		l.finish()
	} else {
		<-l.writer.stopped
	}
	l.stock.jobs.Wait()
	return errors.Join(l.writer.failed, l.closeFiles())
}

func (l *Log) closeFiles() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := slices.Clone(l.segments)
	if g := l.writer.active; g != nil && !slices.Contains(open, g) {
		open = append(open, g)
	}
	if g := l.stock.next; g != nil {
		open = append(open, g)
	}
	for _, g := range open {
		if g.f != nil {
			err = errors.Join(err, g.f.Close())
		}
	}
	return err
}

// queue is what was saved and not taken by the writer yet.
type queue struct {
	wake chan struct{} // capacity 1

	mu      sync.Mutex // guards what follows
	updates []*Update
	closed  bool
}

// put returns false when the queue is closed.
func (q *queue) put(u *Update) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if q.updates = append(q.updates, u); len(q.updates) == 1 {
		q.wakeUp()
	}
	return true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeUp()
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake already
	}
}

// take appends what is queued to list. closed says that nothing more comes.
func (q *queue) take(list []*Update) (_ []*Update, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	list = append(list, q.updates...)
	clear(q.updates)
	q.updates = q.updates[:0]
	return list, q.closed
}
