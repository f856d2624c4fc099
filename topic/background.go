package topic

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
)

// SyncPolicy says when a topic's log is synced.
type SyncPolicy struct {
	// Every records after the last sync, or Timeout after the first of them, the
	// log is synced in the background. With Every 1 no publish is OK'd before it
	// is synced.
	Every   int64
	Timeout time.Duration
	// Journal is brought to the disk before the log is, and notes how far the log
	// reaches.
	Journal Journal
}

// logSync syncs a topic's log and has the journal know how far it reaches.
type logSync struct {
	log         *diskqueue.Log
	journal     Journal
	topic       string
	incarnation uint64
	opened      uint64 // where the log went on after the start
	logger      *slog.Logger
}

// sync syncs the log, after the journal: a record that survives the end of the
// machine is of no use where its topic and channels do not. When that cannot be
// had the records are synced all the same: the journal says what is wrong.
func (s *logSync) sync() error {
	untold := s.journal.Durable()
	if untold != nil {
		s.logger.Error("messages are synced before their topic is", "topic", s.topic, "error", untold)
	}
	synced, err := s.log.Sync()
	if untold != nil { // a later start may not know which numbers below are none
		s.noteEnd(0, synced)
		return err
	}
	s.noteEnd(synced, synced)
	return err
}

// noteEnd has the journal note up to where the log reaches. The number at which
// the log goes on after a start is no end: there is no record before it.
func (s *logSync) noteEnd(synced, written uint64) {
	if written <= s.opened {
		return
	}
	if synced <= s.opened {
		synced = 0
	}
	s.journal.NoteEnd(s.incarnation, synced, written)
}

// noteEvery is how often the journal is told how far the log grew that is not
// synced.
const noteEvery = 50 * time.Millisecond

// backgroundSync syncs a log behind the publishes, which do not wait for it: when
// enough records, or enough time, has passed. Those that nobody needs any more
// need no sync: a topic whose consumers keep up leaves the disk alone but for one
// sync every Timeout. Its goroutine lives while there is something to sync. Nil
// syncs nothing.
type backgroundSync struct {
	policy  SyncPolicy
	logSync *logSync
	fanout  *fanout
	failed  func(error) // called with no lock held when a sync failed

	clock     *clock.Clock
	deadlines *deadline.Queue

	// unsynced is how many records were written since the last sync began that
	// somebody may need. Others than wrote change it with mu held.
	unsynced atomic.Int64
	noting   atomic.Bool // noteTimer is armed; written with mu held

	mu        sync.Mutex      // guards what follows: who syncs, and what is done when; taken before fanout.mu
	idle      sync.Cond       // signalled when syncing ends
	syncing   bool            // run is under way
	closed    bool            // nothing is done any more because time passes
	syncTimer *deadline.Timer // nil before the first record
	noteTimer *deadline.Timer // nil before the second
}

func newBackgroundSync(o *Options, s *logSync, f *fanout, failed func(error)) *backgroundSync {
	c := o.Common.Channels
	b := &backgroundSync{policy: o.Sync, logSync: s, fanout: f, failed: failed, clock: c.Clock, deadlines: c.Deadlines}
	b.idle.L = &b.mu
	return b
}

// wrote counts n records that are written and not synced, or that are needed
// again, and starts a sync when it is time. They are committed.
func (b *backgroundSync) wrote(n int64) {
	if b == nil {
		return
	}
	switch all := b.unsynced.Add(n); {
	case all == n:
		b.wroteFirst()
	case all >= b.policy.Every || !b.noting.Load():
		b.wroteMore()
	}
}

// wroteFirst is for the first records since a sync began.
func (b *backgroundSync) wroteFirst() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logSync.noteEnd(0, b.fanout.committed())
	if !b.syncIfMuch() {
		b.armTimeout()
	}
}

// wroteMore is for later ones, when there is something to be done.
func (b *backgroundSync) wroteMore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.noting.Load() {
		b.noting.Store(true)
		b.arm(&b.noteTimer, b.noteWritten, noteEvery)
	}
	b.syncIfMuch()
}

// syncIfMuch starts a sync if it is time, and says whether one is under way. The
// caller holds b.mu.
func (b *backgroundSync) syncIfMuch() bool {
	if !b.syncing && b.muchUnsynced() {
		b.start()
	}
	return b.syncing
}

// muchUnsynced says that it is time for a sync. The caller holds b.mu.
func (b *backgroundSync) muchUnsynced() bool {
	if b.unsynced.Load() < b.policy.Every {
		return false
	}
	return b.forgetFinished() >= b.policy.Every
}

// forgetFinished counts no more what every channel has finished, and returns how
// many records are left. The caller holds b.mu.
func (b *backgroundSync) forgetFinished() int64 {
	all := b.unsynced.Load() // first: what is counted here is committed, and needed or finished
	if needed := b.fanout.unfinished(); needed < all {
		return b.unsynced.Add(needed - all)
	}
	return all
}

// armTimeout has timeoutPassed called in time. The caller holds b.mu.
func (b *backgroundSync) armTimeout() { b.arm(&b.syncTimer, b.timeoutPassed, b.policy.Timeout) }

// arm has f called when so much time has passed. The caller holds b.mu.
func (b *backgroundSync) arm(timer **deadline.Timer, f func(now int64), after time.Duration) {
	if *timer == nil {
		*timer = b.deadlines.NewTimer(f)
	}
	(*timer).Arm(b.clock.Now() + int64(after))
}

func (b *backgroundSync) timeoutPassed(int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forgetFinished() > 0 && !b.closed {
		b.start()
	}
}

// noteWritten has the journal note how far the log is written.
func (b *backgroundSync) noteWritten(int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noting.Store(false)
	if !b.closed {
		b.logSync.noteEnd(0, b.fanout.committed())
	}
}

// start starts the goroutine that syncs unless it runs. The caller holds b.mu.
func (b *backgroundSync) start() {
	if !b.syncing {
		b.syncing = true
		go b.run()
	}
}

// run syncs the log until there is nothing that must be synced now.
func (b *backgroundSync) run() {
	for more := true; more; {
		more, _ = b.syncOnce()
	}
}

// syncOnce syncs what is written, and says whether run has to go on.
func (b *backgroundSync) syncOnce() (more bool, err error) {
	records := b.takeUnsynced()
	err = b.logSync.sync()
	switch {
	case err == nil:
		records = 0
	case diskqueue.OutOfDescriptors(err): // which says nothing of the disk
		b.logSync.logger.Warn("messages are synced later", "topic", b.logSync.topic, "error", err)
	default:
		b.failed(err)
	}
	return b.synced(records, err), err
}

// syncNow syncs what is written, and returns when that is done.
func (b *backgroundSync) syncNow() error {
	b.mu.Lock()
	for b.syncing {
		b.idle.Wait()
	}
	b.syncing = true
	b.mu.Unlock()
	more, err := b.syncOnce()
	if more {
		go b.run()
	}
	return err
}

func (b *backgroundSync) takeUnsynced() (records int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unsynced.Swap(0)
}

// synced notes how a sync ended that records are left of: what can be synced yet
// is tried again when the time has passed. It says whether run has to go on.
func (b *backgroundSync) synced(left int64, err error) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsynced.Add(left)
	if err == nil && b.muchUnsynced() {
		return true
	}
	if b.unsynced.Load() > 0 && !b.closed {
		b.armTimeout()
	}
	b.syncing = false
	b.idle.Broadcast()
	return false
}

// close ends what happens because time passes. It waits for nothing.
func (b *backgroundSync) close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, timer := range []*deadline.Timer{b.syncTimer, b.noteTimer} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// wait waits for the sync under way.
func (b *backgroundSync) wait() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.syncing {
		b.idle.Wait()
	}
}
