package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// errOlderMembers refuses what members of an older version could not apply.
var errOlderMembers = errors.New("settings of replicated topics need all members of the set to run a version that knows them, and to have said so, as they do when they start; q cluster members shows which")

// knows says whether all members have a feature level. It waits, as members that have just
// begun are still saying what they know.
func (s *Set) knows(ctx context.Context, level uint32) bool {
	is := func(*registry) bool { return s.level.Load() >= level }
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for ctx.Err() == nil && !is(nil) {
		s.awaitRegistry(ctx, is)
	}
	return is(nil)
}

// errUntoldMembers is temporary.
var errUntoldMembers = errors.New("a member of the set has still to hear which features the set uses: ask again")

// maySet says whether something may be set of a replicated topic. It waits, as members that
// have just begun are still saying what they know, and hearing what the others do.
func (s *Set) maySet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if !s.knows(ctx, levelOfSettings) {
		return errOlderMembers
	}
	return s.tellAll(ctx)
}

// tellAll waits until all members that are connected know which feature level is in use. They
// may not have applied yet that it is, and what is published through them would lack what is set
// of its topic. Who is connected later is told at that moment, see meet.
func (s *Set) tellAll(ctx context.Context) error {
	level := s.level.Load()
	if s.allTold.Load() >= level {
		return nil
	}
	own := s.who().Member
	s.awaitRegistry(ctx, func(g *registry) bool { return g.member(own) != nil })
	g := s.registry.Load()
	if g.member(own) == nil { // who has just joined knows of nobody
		return errUntoldMembers
	}
	for _, m := range g.Members {
		if m.ID != own && !s.isTold(ctx, uint64(m.ID), level) {
			return errUntoldMembers
		}
	}
	s.allTold.Store(level)
	return nil
}

// isTold waits until a member says that the set uses a feature level, or is not connected.
func (s *Set) isTold(ctx context.Context, member uint64, level uint32) bool {
	for slices.Contains(s.connected(), member) {
		var st Status
		if answer, err := s.call(ctx, member, callStatus, nil); err == nil && json.Unmarshal(answer, &st) == nil && st.Level >= level {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(insistEvery):
		}
	}
	return true
}

// uses notes a feature level that the set is said to use, by group 0 or by a member, and tells
// whether that is new. It is on the disk before it counts: when all are started at once nobody
// tells anybody, and what is set of topics counts at once.
func (s *Set) uses(level uint32) (raised bool) {
	s.storing.Lock()
	defer s.storing.Unlock()
	if s.level.Load() >= level {
		return false
	}
	if i := s.who(); i.Cluster != 0 {
		if err := s.store(i, level); err != nil {
			s.o.Logger.Warn("the feature level that the set uses is not kept here: it is heard of again after a start", slog.Any("error", err))
		}
	}
	s.level.Store(level)
	return true
}

// has tells of a feature level whether the set uses it. Who has just started may not have
// applied yet that it does: it knows what it knew before, and is told by the first member that
// it is connected to, before it sends that one anything. What the others take for granted it
// must not leave out.
func (r *run) has(level uint32) func() bool {
	return func() bool { return r.s.level.Load() >= level }
}
