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
		return errors.New("group 0 has not agreed in time, and may yet: more than half of the set is not there, or is slow")
	}
	return err
}

// forPeople bounds how long people wait.
func forPeople(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}

// Move gives the leadership of a shard to a member, named by its address or id, and has
// it stay there, as long as that member is there, until Balance.
func (s *Set) Move(ctx context.Context, shard uint32, to string) error {
	ctx, cancel := forPeople(ctx)
	defer cancel()
	m, err := s.memberNamed(to)
	if err != nil {
		return err
	}
	if shard > Shards {
		return fmt.Errorf("there is no shard %d: there are 0 to %d", shard, Shards)
	}
	if err := s.agree(ctx, &entry{Prefer: &prefer{Shard: shard, Member: m.ID}}); err != nil {
		return err
	}
	return insist(ctx, func(ctx context.Context) error { return s.move(ctx, shard, m.ID) })
}

// Balance forgets where leaderships were moved to: they are spread over all members
// again, one after the other, within a minute.
func (s *Set) Balance(ctx context.Context) error {
	ctx, cancel := forPeople(ctx)
	defer cancel()
	return s.agree(ctx, &entry{Prefer: &prefer{All: true}})
}

// Add lets somebody join at an address where there is no member: a node that is started
// with it as its --cluster-address, and with a list that has it and the members. If
// replaces is not empty, it names a member by its address or id whose place the new one
// takes once it has caught up: no vote is added before one goes.
func (s *Set) Add(ctx context.Context, at, replaces string) error {
	ctx, cancel := forPeople(ctx)
	defer cancel()
	host, port, err := net.SplitHostPort(at)
	if err != nil || !address.ValidHost(host) || !address.ValidPort(port) {
		return fmt.Errorf("an address is host:port, not %q", at)
	}
	e := &entry{Expect: at}
	if replaces != "" {
		m, err := s.memberNamed(replaces)
		if err != nil {
			return err
		}
		e.Instead = m.ID
	}
	return s.agree(ctx, e)
}

// Remove has a member, named by its address or id, lose its vote and leave. Where only
// somebody is expected nobody is any more.
func (s *Set) Remove(ctx context.Context, name string) error {
	ctx, cancel := forPeople(ctx)
	defer cancel()
	if g := s.registry.Load(); g != nil && g.at(name) == nil && slices.Contains(g.Expected, name) {
		return s.agree(ctx, &entry{Withdraw: name})
	}
	m, err := s.memberNamed(name)
	if err != nil {
		return err
	}
	return s.agree(ctx, &entry{Leave: m.ID})
}

// Adopt makes a topic that matches the patterns and is local a replicated one. Members
// that have it move what it holds into the replicated one, in the background; Status
// tells of that.
func (s *Set) Adopt(ctx context.Context, name string) error {
	ctx, cancel := forPeople(ctx)
	defer cancel()
	g := s.registry.Load()
	if g == nil || len(g.Members) == 0 {
		return errNoSet
	}
	_, adopted := slices.BinarySearch(g.Adopted, name)
	if _, local := slices.BinarySearch(g.Local, name); !local && !adopted {
		return fmt.Errorf("topic %q is not one that stays local", name)
	}
	err := s.agree(ctx, &entry{Adopt: name})
	if err == nil {
		s.awaitRegistry(ctx, func(g *registry) bool { return g.replicates(name) })
	}
	return err
}

// memberNamed finds a member by its address or id.
func (s *Set) memberNamed(name string) (*member, error) {
	g := s.registry.Load()
	if g == nil || len(g.Members) == 0 {
		return nil, errNoSet
	}
	if i, err := link.ParseID(name); err == nil {
		if m := g.member(id(i)); m != nil {
			return m, nil
		}
	}
	if m := g.at(name); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("there is no member %q; there are %s", name, strings.Join(g.addresses(), ", "))
}
