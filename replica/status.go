package replica

import (
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// Role is what a member is in a shard.
type Role int

// The roles. A learner is a follower that has no vote.
const (
	Follower Role = iota
	Candidate
	Leader
)

func (r Role) String() string { return [...]string{"follower", "candidate", "leader"}[r] }

// Status is a member's view of its shard, of a moment ago. It is never changed.
type Status struct {
	Role      Role
	Serving   bool // leads, and has applied an entry of its own term
	Leader    uint64
	Term      uint64
	Last      uint64 // newest entry in the log
	Commit    uint64 // newest entry that a majority is known to have
	Applied   uint64
	Members   *pb.ConfState // as applied
	Followers []Progress    // at the leader, by member
	Held      bool          // its log may lack something, see Options.HoldTicks
	Refused   uint64        // messages of peers that made no sense
	Failure   error         // why it takes no part any more
}

// Progress is how far a leader knows another member to be.
type Progress struct {
	Member   uint64
	Match    uint64 // newest entry that is known to be in its log
	Learner  bool
	Active   bool // heard of within about the last election timeout
	Snapshot bool // gets one
}

// Status is the shard's as of the last event; how far the followers are, as of the
// last tick. No follower knows of entries that a leader does not say to be committed, and of
// those that it says to be applied Events has heard.
func (s *Shard) Status() Status {
	s.telling.Lock()
	defer s.telling.Unlock()
	st := s.status
	st.Commit = max(st.Commit, s.commit.Load())
	return st
}

// tell keeps what Status returns.
func (s *Shard) tell() {
	st := s.core.status()
	s.telling.Lock()
	s.status = st
	s.telling.Unlock()
}

// Stalled is for how long the machine has not been able to apply, and why; nil
// if it can.
func (s *Shard) Stalled() (since time.Duration, err error) {
	if stalled := s.stalled.Load(); stalled != nil {
		return s.o.Now() - stalled.since, stalled.err
	}
	return 0, nil
}

// OldestSave is for how long the oldest save that is not done has been with the
// log; 0 if there is none.
func (s *Shard) OldestSave() time.Duration { return s.times.oldest(s.o.Now()) }

// LastSave is how long the save took that was done last, and when that was.
func (s *Shard) LastSave() (took, at time.Duration) { return s.times.last() }

func (c *core) status() Status {
	st := Status{
		Role: role(c.role), Leader: c.leader, Term: c.term, Last: c.last.index, Commit: c.commit,
		Serving: c.led != 0, Applied: c.log.applied.GetIndex(), Members: c.log.applied.GetConfState(),
		Held: c.hold.on, Refused: c.refused,
	}
	if c.giving.stopped {
		st.Failure = c.giving.err
	}
	if c.role == raft.StateLeader && !c.giving.stopped {
		if c.followers == nil {
			c.lookAtFollowers()
		}
		st.Followers = c.followers
	}
	return st
}

// lookAtFollowers notes how far the other members are known to be.
func (c *core) lookAtFollowers() {
	c.followers = nil // what Status returned is not changed
	c.node.WithProgress(func(id uint64, typ raft.ProgressType, p tracker.Progress) {
		if id == c.member {
			return
		}
		c.followers = append(c.followers, Progress{
			Member: id, Match: p.Match, Learner: typ == raft.ProgressTypeLearner,
			Active: c.hears(id, &p), Snapshot: p.State == tracker.StateSnapshot,
		})
	})
}

// noteHeard notes, before each tick, who was heard of: with the tick at the end of each
// election timeout a leader of raft forgets that, and for a moment nobody was.
func (c *core) noteHeard() {
	if c.role != raft.StateLeader || c.giving.stopped {
		c.heard = nil
		return
	}
	if c.heard == nil {
		c.heard = make(map[uint64]int)
	}
	c.node.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if p.RecentActive {
			c.heard[id] = c.electionTicks / 2
		} else {
			c.heard[id]--
		}
	})
}

// hears says whether a member was heard of lately.
func (c *core) hears(id uint64, p *tracker.Progress) bool { return p.RecentActive || c.heard[id] > 0 }

func role(s raft.StateType) Role {
	switch s {
	case raft.StateLeader:
		return Leader
	case raft.StateCandidate, raft.StatePreCandidate:
		return Candidate
	}
	return Follower
}

// saveTimes measures the log. Saves are done in the order in which they begin.
type saveTimes struct {
	mu     sync.Mutex // guards what follows
	begun  []time.Duration
	took   time.Duration
	doneAt time.Duration
}

func (t *saveTimes) begin(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = append(t.begun, now)
}

// end tells that the oldest is done; one that failed is not measured.
func (t *saveTimes) end(now time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.took, t.doneAt = now-t.begun[0], now
	}
	t.begun = slices.Delete(t.begun, 0, 1)
}

func (t *saveTimes) oldest(now time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.begun) == 0 {
		return 0
	}
	return now - t.begun[0]
}

func (t *saveTimes) last() (took, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.took, t.doneAt
}
