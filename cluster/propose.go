package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"qmq/replica"
)

// proposeTime is how long a change of group 0 may take.
const proposeTime = 5 * time.Second

var errNoLeader = errors.New("nobody leads the set: an election is under way, or more than half of it is not there")

// refusal is a change that group 0 does not make, and why.
type refusal string

func (r refusal) Error() string { return string(r) }

// propose has group 0 agree on a change, whoever leads it.
func (s *Set) propose(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, proposeTime)
	defer cancel()
	b, err := e.encode()
	if err != nil {
		return err
	}
	r := s.run.Load()
	if r == nil {
		return errNoSet
	}
	leader := r.watch.leaderOf(0)
	switch leader {
	case 0:
		return errNoLeader
	case r.member:
		return r.proposeHere(ctx, b)
	}
	answer, err := s.call(ctx, leader, callPropose, b)
	if err != nil {
		return err
	}
	var why refusal
	if err := json.Unmarshal(answer, &why); err != nil || why == "" {
		return err
	}
	return why
}

// proposeHere proposes an entry where this node leads group 0, and waits.
func (r *run) proposeHere(ctx context.Context, b []byte) error {
	s := r.shard(0)
	if s == nil {
		return errNoLeader
	}
	result := make(chan error, 1)
	s.Propose(b, func(outcome any, err error) {
		if why, ok := outcome.(refused); ok && err == nil && why != "" {
			err = refusal(why)
		}
		result <- err
	})
	select {
	case err := <-result:
		if errors.Is(err, replica.ErrNotLeader) {
			return errNoLeader
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// proposeFor proposes an entry for another member.
func (s *Set) proposeFor(ctx context.Context, _ uint64, body []byte) (any, error) {
	r := s.run.Load()
	if r == nil {
		return nil, errNoSet
	}
	if _, err := decodeEntry(body); err != nil {
		return nil, err
	}
	err := r.proposeHere(ctx, body)
	var why refusal
	if errors.As(err, &why) {
		return why, nil
	}
	return refusal(""), err
}

// joined is what somebody is told who was let in.
type joined struct {
	Cluster id  `json:"cluster"`
	Number  int `json:"number"`
}

// letJoin lets somebody in, or passes that on to who leads group 0.
func (s *Set) letJoin(ctx context.Context, from uint64, body []byte) (any, error) {
	r := s.run.Load()
	if r == nil {
		return nil, errNoSet
	}
	m := new(member)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, err
	}
	g := s.registry.Load()
	leader := r.watch.leaderOf(0)
	switch {
	case leader == 0:
		return nil, errNoLeader
	case leader != r.member && g.member(id(from)) != nil:
		return nil, errNoLeader // it was passed on to who does not lead any more
	case leader != r.member:
		answer := new(joined)
		return answer, s.ask(leader, callJoin, m, answer)
	}
	if at := g.at(m.Address); at != nil && at.ID != m.ID && s.links.Connected(uint64(at.ID)) {
		return nil, fmt.Errorf("member %s is at %s, and is there: it is replaced only when it is gone", show(at.ID), m.Address)
	}
	b, err := (&entry{Join: m}).encode()
	if err != nil {
		return nil, err
	}
	return joined{g.Cluster, g.Number}, r.proposeHere(ctx, b)
}
