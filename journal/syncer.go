package journal

import (
	"errors"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/vfs"
)

// syncer brings what was written to the disk, beside the writer, so that no
// commit waits for a sync that it did not ask for: at once when somebody asks,
// and otherwise Options.SyncEvery after something was written. One sync serves
// all who asked before it began.
//
// Commits are counted. Those up to synced are on the disk; those up to lost
// were in a log whose sync failed, and only a checkpoint, which says everything
// anew, can bring them there.
type syncer struct {
	every   time.Duration
	wake    chan struct{} // capacity 1
	stopped chan struct{}

	written atomic.Uint64 // commits
	synced  atomic.Uint64 // of them; grows under mu

	mu      sync.Mutex // guards what follows; held for moments only
	older   []*file    // to be synced and closed, in the order in which they were written
	log     *file      // being written; nil: none
	logEnd  int64      // of what was written to it
	atDisk  int64      // of what of it was synced
	due     time.Time  // when what is written is to be synced; zero: all is
	waiters []waiter
	lost    uint64
	err     error // why they are lost
	closing bool
	told    func(error) // called after each sync, without the lock
}

// waiter waits until so many commits are synced.
type waiter struct {
	commits uint64
	done    chan error // capacity 1
}

func newSyncer(every time.Duration, told func(error)) *syncer {
	return &syncer{
		every: every, wake: make(chan struct{}, 1), stopped: make(chan struct{}), told: told,
	}
}

// wrote says that the log was written up to end, with so many commits among it.
func (s *syncer) wrote(end int64, commits int) {
	s.written.Add(uint64(commits))
	s.mu.Lock()
	s.logEnd = end
	first := s.due.IsZero()
	if first {
		s.due = time.Now().Add(s.every)
	}
	s.mu.Unlock()
	if first {
		s.wakeUp()
	}
}

// reached says that the log was synced up to end.
func (s *syncer) reached(end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atDisk = max(s.atDisk, end)
}

// turn makes log the one that is written from now on; nil: none is. What is in
// the former one is synced in its turn, and then it is closed.
func (s *syncer) turn(log *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log != nil {
		s.older = append(s.older, s.log)
		if s.due.IsZero() {
			s.due = time.Now().Add(s.every)
		}
	}
	s.log, s.logEnd, s.atDisk = log, 0, 0
	if log != nil {
		s.logEnd, s.atDisk = log.end, log.end // a log begins with a sync
	}
}

// inherit has the logs of a former process synced, which may have ended before
// it could do so, but for one that was reopened.
func (s *syncer) inherit(fsys vfs.FS, dir string, logs []uint64, reopened *file) {
	for _, n := range logs {
		if reopened != nil && n == reopened.number {
			continue // it was synced
		}
		s.older = append(s.older, &file{fs: fsys, name: filepath.Join(dir, fileName(n, logSuffix)), number: n})
	}
	if len(s.older) > 0 {
		s.written.Store(1)
		s.due = time.Now().Add(s.every)
	}
}

// onDisk is a length that the log has on the disk if it is the one being
// written; 0: none is known.
func (s *syncer) onDisk(number uint64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil || s.log.number != number {
		return 0
	}
	return s.atDisk
}

// position is the number of the log that is written to, and its length; 0: there
// is none.
func (s *syncer) position() (number uint64, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return 0, 0
	}
	return s.log.number, s.logEnd
}

// durable returns when all commits that are written are synced.
func (s *syncer) durable() error {
	commits := s.written.Load()
	if s.synced.Load() >= commits {
		return nil
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrClosed
	}
	w := waiter{commits: commits, done: make(chan error, 1)}
	s.waiters = append(s.waiters, w)
	s.mu.Unlock()
	s.wakeUp()
	return <-w.done
}

func (s *syncer) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// checkpointed says that a checkpoint is on the disk that has the first commits
// in it.
func (s *syncer) checkpointed(commits uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if commits >= s.lost {
		s.lost, s.err = 0, nil
	}
	if commits > s.synced.Load() {
		s.synced.Store(commits)
	}
}

// stop syncs what is written and ends the goroutine. Its error is that of the
// last sync.
func (s *syncer) stop() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.wakeUp()
	<-s.stopped
	return s.err // nobody writes it any more
}

func (s *syncer) run() {
	defer close(s.stopped)
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		wait, closing := s.idle(time.Now())
		if wait <= 0 || closing {
			s.sync()
			if closing {
				s.closeLogs()
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// idle is how long there is nothing to do.
func (s *syncer) idle(now time.Time) (d time.Duration, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.waiters) > 0:
		return 0, s.closing
	case s.due.IsZero():
		return math.MaxInt64, s.closing
	default:
		return s.due.Sub(now), s.closing
	}
}

// sync syncs all that is written now and tells those who wait for it.
func (s *syncer) sync() {
	s.mu.Lock()
	older, log, end, waiters := s.older, s.log, s.logEnd, s.waiters
	commits := s.written.Load()
	s.waiters, s.due = nil, time.Time{}
	s.mu.Unlock()
	var err error
	for _, l := range older {
		err = errors.Join(err, l.syncAndClose())
	}
	if log != nil {
		err = errors.Join(err, log.sync())
	}
	s.mu.Lock()
	s.older = s.older[len(older):]
	if log == s.log && err == nil {
		s.atDisk = max(s.atDisk, end)
	}
	if err != nil {
		s.lost, s.err = max(s.lost, commits), err
	} else if s.lost <= s.synced.Load() && commits > s.synced.Load() {
		s.synced.Store(commits)
	}
	failure := s.err
	s.mu.Unlock()
	for _, w := range waiters {
		if s.synced.Load() >= w.commits {
			w.done <- nil
		} else {
			w.done <- failure
		}
	}
	s.told(err)
}

// closeLogs answers those who came too late and closes the log.
func (s *syncer) closeLogs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiters {
		w.done <- ErrClosed
	}
	s.waiters = nil
	if s.log != nil {
		s.err = errors.Join(s.err, s.log.f.Close())
	}
}
