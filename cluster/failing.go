package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"qmq/raftlog"
	"qmq/replica"
	"qmq/replica/machine"
)

var (
	// errForgetful means that the member may have forgotten votes or entries that it
	// acknowledged. It has to join again under another id.
	errForgetful = errors.New("the log may lack what this member acknowledged")
	// errUnsynced means that a topic's log may lose what was applied to it: it has to be
	// applied again, from the node's log.
	errUnsynced = errors.New("what was applied may be lost with the power, and is applied again")
)

// end says that this part cannot go on as it is: an errForgetful, or an errUnsynced. It
// does not wait, and may be called from anywhere; the first one counts.
func (r *run) end(why error) {
	select {
	case r.over <- why:
	default:
	}
}

// found is told what happens to the log beside what it is told to do.
func (r *run) found(f raftlog.Finding) {
	r.s.o.Logger.Warn("the log of the set", slog.String("what", f.Kind.String()), slog.String("file", f.Path), slog.Any("error", f.Err))
	switch f.Kind {
	case raftlog.Doubt:
		r.end(fmt.Errorf("%w: %w", errForgetful, f.Err))
	case raftlog.NoRoom, raftlog.RoomAgain:
		r.logFull.Store(f.Kind == raftlog.NoRoom)
	case raftlog.Failed:
		// Also shards that have nothing to save: their leaders would find out with the
		// next proposal, which would be lost.
		for _, s := range r.opened() {
			s.LogFailed(f.Err)
		}
	}
}

// alarm is told of a shard that takes no part any more.
func (r *run) alarm(n uint32, err error) {
	r.s.o.Logger.Error("a shard takes no part any more", slog.Uint64("shard", uint64(n)), slog.Any("error", err))
	r.watch.failed(n, err)
	if errors.Is(err, replica.ErrForgetful) {
		r.end(fmt.Errorf("%w: %w", errForgetful, err))
	}
}

// uncheckpointedEvery is how often it is told that a shard has no checkpoint, which on a full
// disk is tried every two seconds.
const uncheckpointedEvery = time.Minute

// noCheckpoint is told of a shard that could not make one.
func (r *run) noCheckpoint(n uint32, err error) {
	told := &r.uncheckpointed[n]
	if was, now := told.Load(), int64(r.now()); (was == 0 || now-was >= int64(uncheckpointedEvery)) && told.CompareAndSwap(was, now) {
		r.s.o.Logger.Warn("no checkpoint of a shard", slog.Uint64("shard", uint64(n)), slog.Any("error", err))
	}
	if errors.Is(err, machine.ErrSyncFailed) {
		r.end(fmt.Errorf("%w: %w", errUnsynced, err))
	}
}

// retry prepares for the part after one that could not go on. Its epoch is a new one:
// numbers of batches that are under way are not given retry.
func (s *Set) retry(why error) error {
	if errors.Is(why, errForgetful) {
		return s.forget(why.Error())
	}
	s.o.Logger.Error("this member begins again from its log", slog.Any("reason", why))
	i := s.who()
	i.Epoch++
	return s.becomeAnother(i)
}

// becomeAnother is become for a member of another id or epoch. The others know the links by who
// it was, so these begin anew.
func (s *Set) becomeAnother(i identity) error {
	if err := s.become(i); err != nil {
		return err
	}
	if s.links != nil { // nil: it starts
		s.links.Renew(errBeginsAgain)
	}
	return nil
}

var errBeginsAgain = errors.New("this node begins again")

// damageOf is what is logged of something amiss with a topic's log.
func damageOf(f machine.Finding) []any {
	list := []any{slog.String("topic", f.Topic), slog.String("kind", string(f.Kind)), slog.String("path", f.Path)}
	if n := f.Range.Len(); n > 0 {
		list = append(list, slog.Uint64("first", f.Range.From), slog.Uint64("numbers", n), slog.Uint64("lost", f.Lost))
	}
	if f.Copy != "" {
		list = append(list, slog.String("copy", f.Copy))
	}
	return append(list, slog.Any("error", f.Err))
}
