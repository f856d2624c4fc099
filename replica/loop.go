package replica

import (
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// loop runs the core: events in, effects out.
func (s *Shard) loop() {
	var batch []func(*core)
	for {
		if batch = s.events.take(batch); len(batch) == 0 {
			return
		}
		for _, event := range batch {
			event(s.core)
		}
		s.core.flush()
		s.commit.Store(s.core.commit)
		s.perform(s.core.take())
		s.tellLater()
		s.tell()
	}
}

// perform does what the core wants done. Callbacks come last: what they cause is
// an event of its own.
func (s *Shard) perform(out effects) {
	for _, one := range out.saves {
		s.save(one)
	}
	if len(out.messages) > 0 {
		s.o.Send(out.messages)
	}
	for _, w := range out.work {
		s.work.put(w, 0)
	}
	for _, m := range out.snapshots {
		if s.o.Snapshots == nil {
			s.SnapshotSent(m.GetTo(), false)
			continue
		}
		s.o.Snapshots.Offer(m)
	}
	if out.compact > 0 {
		s.o.Log.Compact(out.compact)
	}
	for _, call := range out.calls {
		call()
	}
}

// tellLater sees to it that what is postponed is told in time.
func (s *Shard) tellLater() {
	switch waits := len(s.core.commits.messages) > 0; {
	case waits == s.postponed:
	case waits:
		s.postponed = true
		s.later.Reset(postponedFor)
	default:
		s.postponed = false
		s.later.Stop()
	}
}

// tellNow tells what was postponed long enough. What is postponed behind it, before the
// loop looks, has the time run anew.
func (s *Shard) tellNow(c *core) {
	s.postponed = false
	c.guard(c.tellPostponed)
}

func (s *Shard) save(one *save) {
	u := one.Update
	s.times.begin(s.o.Now())
	u.Done = func(err error) {
		s.times.end(s.o.Now(), err)
		s.post(0, func(c *core) { c.saveDone(one, err) })
	}
	s.o.Log.Save(u)
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

// applyLoop does the work on the machine, one piece after the other. What fails
// is tried again and never skipped.
func (s *Shard) applyLoop() {
	var batch []*work
	for {
		if batch = s.work.take(batch); len(batch) == 0 {
			return
		}
		for _, w := range batch {
			if w.offer != nil {
				meta, err := s.takeOffer(w.offer)
				s.post(0, func(c *core) { c.taken(meta, err) })
			} else if !s.applyAll(w) {
				return
			}
		}
	}
}

// takeOffer waits until the machine has a snapshot, or an error.
func (s *Shard) takeOffer(o Offer) (meta *pb.SnapshotMetadata, err error) {
	s.o.Logger.Info("a replica takes a snapshot", "member", fmt.Sprintf("%016x", s.o.Member))
	meta, err = o.Take(s.stopping)
	if err != nil {
		s.o.Logger.Warn("a replica could not take a snapshot", "member", s.o.Member, "error", err)
	}
	return meta, err
}

// applyAll applies the entries; false if the shard stops, or the machine
// cannot do it at all.
func (s *Shard) applyAll(w *work) bool {
	retry := firstRetry
	for step := 0; ; {
		next, applied, err := s.applySome(w, step)
		s.noteStall(err)
		if step = next; err == nil || len(applied) > 0 {
			s.post(0, func(c *core) { c.worked(w, applied, err == nil) })
			retry = firstRetry
		}
		if err == nil {
			return true
		}
		if errors.Is(err, errPanicked) || s.o.Machine.Fatal(err) {
			s.post(0, func(c *core) { c.stop(fmt.Errorf("the machine: %w", err)) })
			return false
		}
		select {
		case <-time.After(retry):
			retry = min(2*retry, lastRetry)
		case <-s.stopping.Done():
			return false
		}
	}
}

var errPanicked = errors.New("panicked")

// applySome turns what the machine panics with into an error.
func (s *Shard) applySome(w *work, step int) (next int, applied []Applied, err error) {
	defer func() {
		if p := recover(); p != nil {
			next, applied, err = step, nil, fmt.Errorf("%w: %v", errPanicked, p)
		}
	}()
	return w.run(s.o.Machine, step)
}

// noteStall keeps since when the machine cannot apply, nil if it can.
func (s *Shard) noteStall(err error) {
	was := s.stalled.Load()
	switch {
	case err == nil && was != nil:
		s.stalled.Store(nil)
		s.o.Logger.Info("a replica applies again", "member", s.o.Member)
	case err != nil && was == nil:
		s.stalled.Store(&stall{err, s.o.Now()})
		s.o.Logger.Warn("a replica waits to apply", "member", s.o.Member, "error", err)
	}
}
