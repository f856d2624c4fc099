package serve

import (
	"context"
	"errors"
	"time"

	"qmq/state"
)

// ends says that a request is for the end of something.
func (r *Request) ends() bool { return r.Op == state.DeleteTopic || r.Op == state.DeleteChannel }

// whenChanged is closed when another leader is known, or the one that is gets ready.
func (s *Shard) whenChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// leadsItself says whether this node leads, or is about to.
func (s *Shard) leadsItself() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader == s.n.o.Member
}

// leads says whether a member leads in a term, as far as is known.
func (s *Shard) leads(member, term uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader == member && s.term == term
}

// ask asks the leader once.
func (s *Shard) ask(ctx context.Context, r Request) error {
	s.mu.Lock()
	leader := s.leader
	s.mu.Unlock()
	switch leader {
	case 0:
		return errNotLeader
	case s.n.o.Member:
		return s.doHere(r)
	}
	b, err := s.n.o.Remote.Call(ctx, leader, r.encode())
	if err != nil {
		return errors.Join(errNotLeader, err) // it is asked again, whatever became of it
	}
	a, err := decodeAnswer(b)
	if err != nil {
		return err
	}
	a.replay(r.Replay)
	if a.code == codeDone {
		s.awaitApplied(ctx, a.number)
	}
	return a.err()
}

// visibleWithin is how long a request waits for what it asked for to be applied here: less
// than tools wait for an answer.
const visibleWithin = 4 * time.Second

// awaitApplied waits until an entry is applied here, for so long: whoever asked for
// something here expects to find it here.
func (s *Shard) awaitApplied(ctx context.Context, index uint64) {
	s.await(ctx, func() bool {
		applied, _ := s.machine.Applied()
		return applied >= index
	})
}

// Await waits until the shard of a topic is here as it should be, for so long as Do does.
func (n *Node) Await(ctx context.Context, topicName string, is func() bool) {
	if !is() {
		n.shardOf(topicName).await(ctx, is)
	}
}

// await looks again after each entry.
func (s *Shard) await(ctx context.Context, is func() bool) {
	ctx, cancel := context.WithTimeout(ctx, visibleWithin)
	defer cancel()
	s.awaiting.Add(1)
	defer s.awaiting.Add(-1)
	for {
		s.mu.Lock()
		moved := s.moved
		s.mu.Unlock()
		if is() {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// tellApplied wakes those who wait for an entry.
func (s *Shard) tellApplied() {
	if s.awaiting.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.moved)
	s.moved = make(chan struct{})
}

// doHere does what is asked for, if this node leads.
func (s *Shard) doHere(r Request) error {
	serving := s.servingNow()
	if serving == nil {
		return errNotLeader
	}
	return serving.standing(serving.do(r))
}
