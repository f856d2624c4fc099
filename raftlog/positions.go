package raftlog

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// place is where an entry's record begins in its segment, and the bytes of its
// payload.
type place struct{ offset, size uint32 }

// stretch is where consecutive entries of a shard stand, in one segment.
type stretch struct {
	seg    *segment
	first  uint64 // index
	places []place
}

func (s *stretch) end() uint64 { return s.first + uint64(len(s.places)) }

// shardLog is what is known of one shard's log: where its entries stand, not
// what they say.
type shardLog struct {
	hard    hardState
	members *raftpb.ConfState // of the last snapshot; nil: there was none
	// base is the position before the first entry.
	base position
	// under is the last position while that is below base, else zero. It happens in
	// a replay alone: of entries that replaced older ones at the end of a segment that
	// is gone, up to the index that base has.
	under     position
	terms     []position // the first position of each term behind base
	stretches []stretch
}

func (s *shardLog) last() uint64 {
	switch n := len(s.stretches); {
	case s.under.index > 0:
		return s.under.index
	case n > 0:
		return s.stretches[n-1].end() - 1
	}
	return s.base.index
}

// term is that of the entry with an index from base on.
func (s *shardLog) term(index uint64) (uint64, error) {
	switch {
	case index == s.under.index && index > 0:
		return s.under.term, nil
	case index < s.base.index:
		return 0, raft.ErrCompacted
	case index > s.last():
		return 0, raft.ErrUnavailable
	case index == s.base.index:
		return s.base.term, nil
	}
	i := sort.Search(len(s.terms), func(i int) bool { return s.terms[i].index > index })
	return s.terms[i-1].term, nil
}

// end is the last position.
func (s *shardLog) end() position {
	last := s.last()
	term, _ := s.term(last) // it is there
	return position{last, term}
}

var errGap = errors.New("entries before it are missing")

// append adds an entry, in the place of one of the same index and all behind it.
func (s *shardLog) append(at position, seg *segment, p place) error {
	if last := s.last(); at.index == 0 || at.index > last+1 {
		return fmt.Errorf("entry %d behind %d: %w", at.index, last, errGap)
	}
	if at.index <= s.base.index {
		s.stretches, s.terms = nil, nil
		s.under = at
		if at.index == s.base.index {
			s.base, s.under = at, position{}
		}
		return nil
	}
	if at.index <= s.last() {
		s.cut(at.index)
	}
	if n := len(s.terms); n == 0 || s.terms[n-1].term != at.term {
		s.terms = append(s.terms, at)
	}
	if n := len(s.stretches); n == 0 || s.stretches[n-1].seg != seg {
		s.stretches = append(s.stretches, stretch{seg: seg, first: at.index})
	}
	tail := &s.stretches[len(s.stretches)-1]
	tail.places = append(tail.places, p)
	return nil
}

// cut takes the entries from index on away.
func (s *shardLog) cut(index uint64) {
	for n := len(s.stretches); n > 0; n-- {
		tail := &s.stretches[n-1]
		if tail.first < index {
			tail.places = tail.places[:min(uint64(len(tail.places)), index-tail.first)]
			break
		}
		s.stretches = s.stretches[:n-1]
	}
	for n := len(s.terms); n > 0 && s.terms[n-1].index >= index; n-- {
		s.terms = s.terms[:n-1]
	}
}

// restart makes the log begin behind a position, with nothing in it.
func (s *shardLog) restart(at position, members *raftpb.ConfState) {
	s.base, s.under, s.members = at, position{}, members
	s.stretches, s.terms = nil, nil
}

// forget moves base up to index, which is in the log, unless it is there.
func (s *shardLog) forget(index uint64) {
	if index <= s.base.index {
		return
	}
	term, _ := s.term(index)
	next, err := s.term(index + 1)
	s.base = position{index, term}
	s.stretches = slices.DeleteFunc(s.stretches, func(t stretch) bool { return t.end() <= index+1 })
	if len(s.stretches) > 0 {
		if head := &s.stretches[0]; head.first <= index {
			head.places = slices.Clone(head.places[index+1-head.first:])
			head.first = index + 1
		}
	}
	s.terms = slices.DeleteFunc(s.terms, func(p position) bool { return p.index <= index })
	if err == nil && (len(s.terms) == 0 || s.terms[0].index > index+1) {
		s.terms = slices.Insert(s.terms, 0, position{index + 1, next})
	}
}

// find is where the entries from lo to hi stand that are in one segment with
// that of lo, up to so many bytes, but at least one.
func (s *shardLog) find(lo, hi, bytes uint64) (seg *segment, places []place) {
	i := sort.Search(len(s.stretches), func(i int) bool { return s.stretches[i].end() > lo })
	t := &s.stretches[i]
	all := t.places[lo-t.first : min(hi, t.end())-t.first]
	sum := uint64(0)
	for n, p := range all {
		if sum += uint64(p.size); sum > bytes && n > 0 {
			return t.seg, slices.Clone(all[:n])
		}
	}
	return t.seg, slices.Clone(all)
}
