package cluster

import (
	"context"
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
	errNoLeader, errNoShardLeader, errNotFit, errNoSet, link.ErrNoConnection, link.ErrBusy,
	replica.ErrNotLeader, replica.ErrLost, replica.ErrBusy,
}

// passes tells whether an error is one of those, here or at the member that was asked:
// of its error there is only the text.
func passes(err error) bool {
	var remote *link.RemoteError
	there := errors.As(err, &remote)
	return slices.ContainsFunc(passing, func(such error) bool {
		return errors.Is(err, such) || there && strings.Contains(remote.Text, such.Error())
	})
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
