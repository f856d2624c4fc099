package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"qmq/cluster/link"
	"qmq/internal/address"
)

// What people do to a set, at any of its members. The errors are texts for them.

// requestTimeout is how long people wait for what they ask for: less than their tools
// wait for an answer.
const requestTimeout = 4 * time.Second

// agree has group 0 agree on what somebody asks for.
func (s *Set) agree(ctx context.Context, e *entry) error {
	err := insist(ctx, func(ctx context.Context) error { return s.propose(ctx, e) })
	if errors.Is(err, context.DeadlineExceeded) {
		return errNotAgreed
	}
	return err
}

var (
	errNotAgreed = errors.New("the set has not agreed in time, and may yet: more than half of it is not there, or is slow")
	errDown      = errors.New("is down: no member hears it")
)

// againError is why something was refused that may be asked for again: what stands in its
// way may be over in a moment, as an election.
type againError struct{ error }

func (e againError) Unwrap() error { return e.error }

// Again is part of api.Cluster.
func (againError) Again() bool { return true }

// tellAgain makes an error an againError where it is one.
func tellAgain(err *error) {
	if *err != nil && (passes(*err) || tells(*err, errNotAgreed) || errors.Is(*err, errDown) || errors.Is(*err, context.DeadlineExceeded)) {
		*err = againError{*err}
	}
}

// forPeople bounds how long people wait.
func forPeople(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}

// Move gives the leadership of a shard to a member, named by its address or id, and has
// it stay there, as long as that member is there and hides no topic of the shard, until
// Balance.
func (s *Set) Move(ctx context.Context, shard uint32, to string) (err error) {
	defer tellAgain(&err)
	ctx, cancel := forPeople(ctx)
	defer cancel()
	m, err := s.memberNamed(ctx, to)
	if err != nil {
		return err
	}
	if shard > Shards {
		return fmt.Errorf("there is no shard %d: there are 0 to %d", shard, Shards)
	}
	if !s.isHeard(ctx, m.ID) {
		return fmt.Errorf("%s %w", m.Address, errDown)
	}
	if r := s.run.Load(); r != nil && r.watch.hides(uint64(m.ID), shard) && !r.watch.hides(r.watch.leaderOf(shard), shard) {
		return fmt.Errorf("%s %w", m.Address, errHides)
	}
	if err := s.agree(ctx, &entry{Prefer: &prefer{Shard: shard, Member: m.ID}}); err != nil {
		return err
	}
	return insist(ctx, func(ctx context.Context) error { return s.move(ctx, shard, m.ID) })
}

// isHeard tells whether any member hears another one, here or as the others tell. It waits
// for longer than it takes to miss one. Who hears nobody itself cannot tell.
func (s *Set) isHeard(ctx context.Context, member id) bool {
	for deadline := time.Now().Add(2 * lostAfter); ; {
		r, up := s.run.Load(), s.connected()
		if member == s.who().Member || len(up) == 0 || slices.Contains(up, uint64(member)) || r != nil && r.watch.isHeard(r.now(), uint64(member)) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(insistEvery):
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// Balance forgets where leaderships were moved to: they are spread over all members
// again, one after the other, within a minute.
func (s *Set) Balance(ctx context.Context) (err error) {
	defer tellAgain(&err)
	ctx, cancel := forPeople(ctx)
	defer cancel()
	return s.agree(ctx, &entry{Prefer: &prefer{All: true}})
}

// Add lets somebody join at an address where there is no member: a node that is started
// with it as its --cluster-address, and with a list that has it and the members. If
// replaces is not empty, it names a member by its address or id whose place the new one
// takes once it has caught up: no vote is added before one goes.
func (s *Set) Add(ctx context.Context, at, replaces string) (err error) {
	defer tellAgain(&err)
	ctx, cancel := forPeople(ctx)
	defer cancel()
	host, port, err := net.SplitHostPort(at)
	if err != nil || !address.ValidHost(host) || !address.ValidPort(port) {
		return fmt.Errorf("an address is host:port, not %q", at)
	}
	e := &entry{Expect: at}
	if replaces != "" {
		m, err := s.memberNamed(ctx, replaces)
		if err != nil {
			return err
		}
		e.Instead = m.ID
	}
	return s.agree(ctx, e)
}

// Remove has a member, named by its address or id, lose its vote and leave. Where only
// somebody is expected nobody is any more.
func (s *Set) Remove(ctx context.Context, name string) (err error) {
	defer tellAgain(&err)
	ctx, cancel := forPeople(ctx)
	defer cancel()
	isExpected := func(g *registry) bool { return g != nil && g.at(name) == nil && slices.Contains(g.Expected, name) }
	if isExpected(s.registry.Load()) {
		return s.agree(ctx, &entry{Withdraw: name})
	}
	m, err := s.memberNamed(ctx, name)
	switch {
	case err != nil && isExpected(s.registry.Load()): // since it has caught up
		return s.agree(ctx, &entry{Withdraw: name})
	case err != nil:
		return err
	}
	return s.agree(ctx, &entry{Leave: m.ID})
}

// Adopt makes a topic that matches the patterns and is local a replicated one. Members
// that have it move what it holds into the replicated one, in the background; Status
// tells of that.
func (s *Set) Adopt(ctx context.Context, name string) (err error) {
	defer tellAgain(&err)
	ctx, cancel := forPeople(ctx)
	defer cancel()
	if g := s.registry.Load(); g == nil || len(g.Members) == 0 {
		return errNoSet
	}
	if !s.registry.Load().mayAdopt(name) {
		if err := s.catchUp(ctx, 0); err != nil {
			return err
		}
		if !s.registry.Load().mayAdopt(name) && !s.isBothWays(name) {
			return fmt.Errorf("topic %q is not one that stays local", name)
		}
	}
	err = s.agree(ctx, &entry{Adopt: name})
	if err == nil {
		s.awaitRegistry(ctx, func(g *registry) bool { return g.replicates(name) })
	}
	return err
}

// memberNamed finds a member by its address or id.
func (s *Set) memberNamed(ctx context.Context, name string) (*member, error) {
	g := s.registry.Load()
	if g == nil || len(g.Members) == 0 {
		return nil, errNoSet
	}
	if m := g.named(name); m != nil {
		return m, nil
	}
	if err := s.catchUp(ctx, 0); err != nil {
		return nil, err
	}
	g = s.registry.Load()
	if m := g.named(name); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("there is no member %q; there are %s", name, strings.Join(g.addresses(), ", "))
}

// named is the member with an address or id; nil: there is none.
func (g *registry) named(name string) *member {
	if i, err := link.ParseID(name); err == nil {
		if m := g.member(id(i)); m != nil {
			return m
		}
	}
	return g.at(name)
}

// mayAdopt tells whether a name stays local, is to, or is adopted already.
func (g *registry) mayAdopt(name string) bool {
	_, adopted := slices.BinarySearch(g.Adopted, name)
	return g.stays(name) || len(g.Wanted[name]) > 0 || adopted
}

// isBothWays tells whether a member that answers has a replicated topic for itself, too.
func (s *Set) isBothWays(name string) bool {
	return slices.ContainsFunc(s.Statuses(), func(st Status) bool { return slices.Contains(st.Both, name) })
}
