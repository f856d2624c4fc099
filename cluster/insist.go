package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"qmq/cluster/link"
	"qmq/replica"
)

// insistEvery is how long it takes until something is tried again that could not be done
// just then.
const insistEvery = 50 * time.Millisecond

// insist does something that people ask for until it is done, until it cannot be done,
// or until ctx ends: another leader may be about to be elected, and a connection about
// to be there. The error is that of the last time, which says what was missing.
func insist(ctx context.Context, once func(context.Context) error) error {
	for {
		err := once(ctx)
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(insistEvery):
		}
	}
}

// passing are errors that may be over in a moment: nothing was done, or what was done
// may be done twice.
var passing = []error{
	errNoLeader, errNoShardLeader, errNotFit, errAlone, errNoSet, errBehind, errNotWanted, link.ErrNoConnection, link.ErrBusy,
	replica.ErrNotLeader, replica.ErrLost, replica.ErrBusy,
}

// passes tells whether an error is one of those.
func passes(err error) bool {
	return slices.ContainsFunc(passing, func(such error) bool { return tells(err, such) })
}

// tells tells whether an error is such a one, here or at the member that was asked: of its
// error there is only the text.
func tells(err, such error) bool {
	var remote *link.RemoteError
	return errors.Is(err, such) || errors.As(err, &remote) && strings.Contains(remote.Text, such.Error())
}

// knownWithin is how long is waited for what group 0 has agreed on to be known here: who
// asked for it here expects to find it here.
const knownWithin = time.Second

// awaitRegistry waits until the registry is as it should be, for so long.
func (s *Set) awaitRegistry(ctx context.Context, is func(*registry) bool) {
	ctx, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	for !is(s.registry.Load()) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// catchUp waits until this member has applied all that a shard had agreed on when it was
// called, and knows it where it serves the shard: nothing is refused for what another member
// was told just before.
func (s *Set) catchUp(ctx context.Context, n uint32) error {
	var through uint64
	if err := insist(ctx, func(ctx context.Context) (err error) {
		through, err = s.agreedThrough(ctx, n)
		return err
	}); err != nil {
		return err
	}
	return s.awaitApplied(ctx, n, through)
}

// awaitApplied waits until this member has applied an entry of a shard.
func (s *Set) awaitApplied(ctx context.Context, n uint32, through uint64) error {
	for {
		if r := s.run.Load(); r == nil || r.shard(n) == nil {
			return errNoSet
		} else if r.shard(n).Status().Applied >= through {
			return nil
		}
		select {
		case <-ctx.Done():
			return errBehind
		case <-time.After(time.Millisecond):
		}
	}
}

var errBehind = errors.New("this member does not know yet what the set has agreed on: ask again, or another member")

// agreedThrough is how far a shard has agreed, by who leads it.
func (s *Set) agreedThrough(ctx context.Context, n uint32) (index uint64, err error) {
	r := s.run.Load()
	if r == nil || r.shard(n) == nil {
		return 0, errNoSet
	}
	leader := r.watch.leaderOf(n)
	if leader == 0 {
		return 0, noLeader(n)
	}
	if leader == r.member {
		now := r.shard(n).Status()
		if !now.Serving { // it has still to agree on what is in its log
			return 0, noLeader(n)
		}
		return now.Commit, nil
	}
	return s.agreedBy(ctx, leader, n)
}

// agreedBy is how far a shard has agreed, by another member that leads it.
func (s *Set) agreedBy(ctx context.Context, leader uint64, n uint32) (index uint64, err error) {
	answer, err := s.call(ctx, leader, callStatus, nil)
	if err != nil {
		return 0, err
	}
	st := new(Status)
	if err := json.Unmarshal(answer, st); err != nil {
		return 0, err
	}
	if len(st.Shards) <= int(n) || !st.Shards[n].agrees() {
		return 0, noLeader(n)
	}
	return st.Shards[n].Commit, nil
}

// noLeader says of a shard that it has no leader that is known here.
func noLeader(n uint32) error {
	if n == 0 {
		return errNoLeader
	}
	return fmt.Errorf("shard %d %w", n, errNoShardLeader)
}

// call asks a member. The error names it.
func (s *Set) call(ctx context.Context, member uint64, kind byte, body []byte) ([]byte, error) {
	answer, err := s.links.Call(ctx, member, kind, body)
	if !errors.Is(err, link.ErrNoConnection) {
		return answer, err
	}
	at, why := s.addressOf(member), ""
	for _, p := range s.links.Peers() {
		if p.Address == at && p.Failure != "" {
			why = " (" + p.Failure + ")"
		}
	}
	return nil, fmt.Errorf("%w %s%s", err, at, why)
}
