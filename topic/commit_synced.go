package topic

import (
	"slices"
	"sync"

	"qmq/diskqueue"
)

// synced commits a group when it is written and synced: it survives the end of
// the machine. One goroutine, which lives while groups wait, syncs for all that
// were written meanwhile. When a sync fails, what was written since the last good
// one is taken back.
type synced struct {
	appender
	logSync *logSync
	refused func(end uint64) // after a failed sync: what the log holds below end and is not committed is refused

	mu        sync.Mutex // guards what follows: the groups that wait for a sync, and who is at the log
	idle      sync.Cond  // signalled when appending or syncing ends
	appending bool       // Propose is at the log
	syncing   bool       // run is under way
	waiting   []proposal // in the order of Propose
	failed    error      // of an append or a sync, until a Probe: nothing is appended

	answered []proposal // of run alone: the memory of the next waiting
}

// proposal is a group that is not done.
type proposal struct {
	added diskqueue.Appended
	err   error // why it is not appended
	done  func(diskqueue.Appended, error)
}

func newSynced(log *diskqueue.Log, freeSpace func() bool, s *logSync, refused func(end uint64)) *synced {
	c := &synced{appender: appender{log: log, freeSpace: freeSpace}, logSync: s, refused: refused}
	c.idle.L = &c.mu
	return c
}

// Propose is part of Committer.
func (s *synced) Propose(g *Group, done func(diskqueue.Appended, error)) {
	p := proposal{done: done}
	if p.err = s.beginAppend(); p.err == nil {
		p.added, p.err = s.append(g)
	}
	s.endAppend(p)
}

// beginAppend says why nothing is appended now; nil: the caller appends.
func (s *synced) beginAppend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appending = s.failed == nil
	return s.failed
}

// endAppend has a proposal answered.
func (s *synced) endAppend(p proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appending = false
	s.idle.Broadcast()
	if s.failed == nil {
		s.failed = p.err
	}
	s.waiting = append(s.waiting, p)
	if !s.syncing {
		s.syncing = true
		go s.run()
	}
}

// run syncs and answers until nothing waits.
func (s *synced) run() {
	for list := s.takeWaiting(); list != nil; list = s.takeWaiting() {
		err := s.syncFor(list)
		s.answer(list, err)
		if err != nil {
			s.answer(s.appendedMeanwhile(), err)
			s.log.Rewind()
			s.refused(s.log.End())
		}
	}
}

// takeWaiting takes the proposals that wait. When there is none, run has ended.
func (s *synced) takeWaiting() []proposal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.syncing = false
		s.idle.Broadcast()
		return nil
	}
	list := s.waiting
	s.waiting, s.answered = s.answered[:0], nil
	return list
}

// syncFor syncs what was appended of the proposals. After an error nothing is
// appended any more but what is being appended.
func (s *synced) syncFor(list []proposal) error {
	if !slices.ContainsFunc(list, func(p proposal) bool { return p.err == nil }) {
		return nil
	}
	err := s.logSync.sync()
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = err
	}
	return err
}

// appendedMeanwhile takes the proposals that wait once nobody appends.
func (s *synced) appendedMeanwhile() []proposal {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.appending {
		s.idle.Wait()
	}
	list := s.waiting
	s.waiting = nil
	return list
}

// answer tells how proposals ended whose sync ended with err.
func (s *synced) answer(list []proposal, err error) {
	for _, p := range list {
		switch {
		case p.err != nil:
			p.done(diskqueue.Appended{}, p.err)
		case err != nil:
			p.done(diskqueue.Appended{}, err)
		default:
			p.done(p.added, nil)
		}
	}
	clear(list)
	s.answered = list[:0]
}

// Probe is part of Committer. It waits until what a failed sync took back is out
// of the log.
func (s *synced) Probe() error {
	if err := s.probe(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.appending || s.syncing {
		s.idle.Wait()
	}
	s.failed = nil
	return nil
}

// Close is part of Committer.
func (s *synced) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.appending || s.syncing {
		s.idle.Wait()
	}
	return nil
}
