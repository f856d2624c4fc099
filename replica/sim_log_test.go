package replica

import (
	"errors"
	"math/rand/v2"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// simLog is a log in memory that can be cut by a loss of power, by a kill and by
// a last group that goes bad. What is queued is written and synced by flush, as
// a group, and done after that.
type simLog struct {
	bugs    bugs
	queued  []Update
	durable logState   // on the platter
	before  logState   // as durable was before the last group
	written []logState // each update written since, not synced
	view    logState   // what raft reads
	keep    uint64     // entries that Compact leaves
	short   bool       // a torn tail was cut off
}

// logState is a log at a moment. Its slices are never written to.
type logState struct {
	hard    *pb.HardState
	base    *pb.SnapshotMetadata
	entries []*pb.Entry // from base on
}

func (s logState) first() uint64 { return s.base.GetIndex() + 1 }
func (s logState) last() uint64  { return s.base.GetIndex() + uint64(len(s.entries)) }

// with is the state after an update.
func (s logState) with(u Update, b bugs) logState {
	if u.Snapshot != nil {
		s.base, s.entries = u.Snapshot, nil
	}
	if n := len(u.Entries); n > 0 {
		keep := u.Entries[0].GetIndex() - s.first()
		s.entries = append(s.entries[:keep:keep], u.Entries...)
	}
	if u.HardState != nil {
		s.hard = u.HardState
		if b.voteNotStored {
			s.hard = &pb.HardState{Term: u.HardState.Term, Commit: u.HardState.Commit}
		}
	}
	return s
}

func (l *simLog) Save(u Update) { l.queued = append(l.queued, u) }

// write writes what is queued and returns it; it is neither synced nor done.
func (l *simLog) write() []Update {
	group := l.queued
	l.queued = nil
	for _, u := range group {
		from := l.durable
		if n := len(l.written); n > 0 {
			from = l.written[n-1]
		}
		l.written = append(l.written, from.with(u, l.bugs))
	}
	return group
}

// sync makes what is written durable.
func (l *simLog) sync() {
	if n := len(l.written); n > 0 {
		l.before, l.durable = l.durable, l.written[n-1]
		l.written = nil
	}
}

// show lets raft read a group that is done.
func (l *simLog) show(group []Update) {
	for _, u := range group {
		l.view = l.view.with(u, bugs{})
	}
}

// kill keeps what was written, power only what was synced and a few writes more;
// both tell whether there was more.
func (l *simLog) kill() (torn bool) {
	torn = len(l.queued) > 0
	if n := len(l.written); n > 0 {
		l.durable, l.written = l.written[n-1], nil
	}
	l.restart()
	return torn
}

func (l *simLog) power(rng *rand.Rand) (torn bool) {
	torn = len(l.written) > 0 || len(l.queued) > 0
	if n := rng.IntN(len(l.written) + 1); n > 0 {
		l.durable = l.written[n-1]
	}
	l.written = nil
	l.restart()
	return torn
}

// rot loses the last group though it was synced.
func (l *simLog) rot(*rand.Rand) {
	l.kill()
	if l.before.base != nil {
		l.durable = l.before
	}
	l.tear()
	l.restart()
}

func (l *simLog) restart() {
	l.queued, l.view = nil, l.durable
}

func (l *simLog) Compact(index uint64) {
	if index <= l.keep {
		return
	}
	index -= l.keep
	cut := func(s logState) logState {
		if index < s.first() || index > s.last() {
			return s
		}
		e := s.entries[index-s.first()]
		return logState{s.hard, &pb.SnapshotMetadata{Index: e.Index, Term: e.Term}, s.entries[index+1-s.first():]}
	}
	l.view, l.durable, l.before = cut(l.view), cut(l.durable), cut(l.before)
	for i := range l.written {
		l.written[i] = cut(l.written[i])
	}
}

func (l *simLog) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return l.view.hard, new(pb.ConfState), nil
}

func (l *simLog) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo < l.view.first() {
		return nil, raft.ErrCompacted
	}
	if hi > l.view.last()+1 {
		return nil, raft.ErrUnavailable
	}
	from := l.view.entries[lo-l.view.first() : hi-l.view.first()]
	size, n := uint64(0), 0
	for n < len(from) && (n == 0 || size+uint64(len(from[n].GetData())) <= maxSize) {
		size += uint64(len(from[n].GetData()))
		n++
	}
	return from[:n:n], nil
}

func (l *simLog) Term(i uint64) (uint64, error) {
	switch {
	case i+1 < l.view.first():
		return 0, raft.ErrCompacted
	case i+1 == l.view.first():
		return l.view.base.GetTerm(), nil
	case i > l.view.last():
		return 0, raft.ErrUnavailable
	}
	return l.view.entries[i-l.view.first()].GetTerm(), nil
}

func (l *simLog) FirstIndex() (uint64, error)     { return l.view.first(), nil }
func (l *simLog) LastIndex() (uint64, error)      { return l.view.last(), nil }
func (l *simLog) Snapshot() (*pb.Snapshot, error) { return nil, errors.New("not asked for") }
