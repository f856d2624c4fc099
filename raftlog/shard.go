package raftlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Shard is the log of one raft shard, as raft reads it: what was saved, from
// just before its Done on. All methods may be called concurrently.
type Shard struct {
	log *Log
	id  uint32

	// Log.mu guards what follows.
	shardLog
	allowed    uint64          // entries up to here are not needed here
	everywhere uint64          // nor, up to here, by others
	cached     []*raftpb.Entry // the newest entries
	bytes      int64           // of them
}

var _ raft.Storage = (*Shard)(nil)

// InitialState is the last saved hard state, and the members of the last saved
// snapshot mark.
func (s *Shard) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	members := new(raftpb.ConfState)
	if s.members != nil {
		members = cloneMembers(s.members)
	}
	return s.hard.message(), members, nil
}

// FirstIndex is that of the first entry that can be read.
func (s *Shard) FirstIndex() (uint64, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.base.index + 1, nil
}

// LastIndex is that of the last entry.
func (s *Shard) LastIndex() (uint64, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.last(), nil
}

// Term is that of an entry, or of the one before the first.
func (s *Shard) Term(index uint64) (uint64, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.term(index)
}

// Snapshot says that there is none now: a log has none, only who applies it.
func (s *Shard) Snapshot() (*raftpb.Snapshot, error) {
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}

// Entries are those from lo up to, not including, hi: at least one, and no more
// than maxSize bytes as raft counts them. Those that are not in memory are read
// from the disk and verified. An entry that does not verify is raft.ErrCompacted
// if the node itself does not need it, so that whoever does is sent a snapshot,
// and else an error that wraps ErrDamaged.
func (s *Shard) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	var entries []*raftpb.Entry
	size := uint64(0)
	for lo < hi {
		part, err := s.part(lo, hi, maxSize-min(size, maxSize))
		if err != nil {
			return nil, err
		}
		for _, e := range part {
			if size += entrySize(e); size > maxSize && len(entries) > 0 {
				return entries, nil
			}
			entries = append(entries, e)
		}
		lo += uint64(len(part))
	}
	return entries, nil
}

// part is at least the first of these entries.
func (s *Shard) part(lo, hi, bytes uint64) ([]*raftpb.Entry, error) {
	s.log.mu.Lock()
	last := s.last()
	switch first := last + 1 - uint64(len(s.cached)); {
	case lo <= s.base.index:
		s.log.mu.Unlock()
		return nil, raft.ErrCompacted
	case hi > last+1:
		s.log.mu.Unlock()
		return nil, raft.ErrUnavailable
	case lo >= first:
		defer s.log.mu.Unlock()
		return upTo(s.cached[lo-first:hi-first], bytes), nil
	default:
		hi = min(hi, first)
	}
	seg, places := s.find(lo, hi, bytes)
	s.log.mu.Unlock()
	entries := make([]*raftpb.Entry, 0, len(places))
	for i, p := range places {
		e, err := seg.read(s.id, lo+uint64(i), p)
		if err != nil {
			return nil, s.unreadable(lo+uint64(i), seg, p, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// upTo copies the first of the entries, up to so many bytes, but at least one.
func upTo(entries []*raftpb.Entry, bytes uint64) []*raftpb.Entry {
	sum := uint64(0)
	for n, e := range entries {
		if sum += entrySize(e); sum > bytes && n > 0 {
			return slices.Clone(entries[:n])
		}
	}
	return slices.Clone(entries)
}

// read reads an entry back.
func (g *segment) read(shard uint32, index uint64, p place) (*raftpb.Entry, error) {
	b := make([]byte, recordSize(int(p.size)))
	if n, err := g.f.ReadAt(b, int64(p.offset)); n < len(b) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	r, ok := decodeRecord(b, g.salt, int64(p.offset))
	if !ok || r.kind != kindEntry || r.shard != shard || len(r.payload) != int(p.size) {
		return nil, ErrDamaged
	}
	e, err := decodeEntry(r.payload)
	if err == nil && e.GetIndex() != index {
		err = ErrDamaged
	}
	return e, err
}

// unreadable is what to say of an entry that could not be read back.
func (s *Shard) unreadable(index uint64, seg *segment, p place, err error) error {
	s.log.mu.Lock()
	gone := index <= s.base.index // while it was read: its file is used again
	spare := index <= s.allowed
	s.log.mu.Unlock()
	if gone {
		return raft.ErrCompacted
	}
	if errors.Is(err, fs.ErrClosed) {
		return ErrClosed
	}
	err = fmt.Errorf("read entry %d of shard %d: %w", index, s.id, err)
	s.log.found(Finding{Kind: Unreadable, Path: seg.path, Offset: int64(p.offset), Err: err})
	if spare {
		return raft.ErrCompacted
	}
	return err
}

// keep adds an entry, which is the last one, to those in memory. Log.mu
func (s *Shard) keep(e *raftpb.Entry) {
	s.cached = append(s.cached, e)
	s.grow(int64(len(e.GetData())) + entryOverhead)
}

// entryOverhead is what an entry takes beside its data, in bytes.
const entryOverhead = 128

func (s *Shard) grow(bytes int64) {
	s.bytes += bytes
	s.log.cachedBytes += bytes
}

// trim leaves those in memory that are behind base and not behind last. Log.mu
func (s *Shard) trim(base, last uint64) {
	for len(s.cached) > 0 && s.cached[len(s.cached)-1].GetIndex() > last {
		s.drop(len(s.cached) - 1)
	}
	for len(s.cached) > 0 && s.cached[0].GetIndex() <= base {
		s.drop(0)
	}
}

// drop lets the first or the last of those in memory go. Log.mu
func (s *Shard) drop(i int) {
	s.grow(-int64(len(s.cached[i].GetData())) - entryOverhead)
	s.cached[i] = nil
	if i == 0 {
		s.cached = s.cached[1:]
	} else {
		s.cached = s.cached[:i]
	}
}

// evict lets entries in memory go while there are too many: the oldest of the
// shard with most of them. Log.mu
func (l *Log) evict() {
	for l.cachedBytes > l.o.CacheBytes {
		var most *Shard
		for _, s := range l.shards {
			if most == nil || s.bytes > most.bytes || s.bytes == most.bytes && s.id < most.id {
				most = s
			}
		}
		most.drop(0)
	}
}

func cloneMembers(cs *raftpb.ConfState) *raftpb.ConfState {
	return &raftpb.ConfState{
		Voters: append([]uint64(nil), cs.GetVoters()...), Learners: append([]uint64(nil), cs.GetLearners()...),
		VotersOutgoing: append([]uint64(nil), cs.GetVotersOutgoing()...),
		LearnersNext:   append([]uint64(nil), cs.GetLearnersNext()...),
		AutoLeave:      new(cs.GetAutoLeave()),
	}
}
