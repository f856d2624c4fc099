package replica

import (
	pb "go.etcd.io/raft/v3/raftpb"
)

// hold keeps a member from voting and standing after a torn tail was cut from
// its log. What was cut may have been acknowledged and gone bad since: as long
// as its other copy lives, nobody without it must be elected with this member's
// vote. It ends with time, or when an entry of a newer term than the log knew
// is applied: who leads in that was elected without this member, and all that
// was committed before is here by then.
//
// In its last ticks it may vote already: where several are on hold, one that is
// not, and may have the only copy left, is to be elected before any of them
// stands.
type hold struct {
	ticks  int    // left
	voting int    // of these, at the end, so many with a vote
	term   uint64 // as the log knew it
}

// newHold is none for no ticks.
func newHold(ticks, electionTicks int, term uint64) hold {
	if ticks == 0 {
		return hold{}
	}
	voting := 5 * electionTicks
	return hold{ticks: ticks + voting, voting: voting, term: term}
}

// tick tells whether the hold is on. A member that must not stand needs no
// tick of raft's.
func (h *hold) tick() bool {
	if h.ticks == 0 {
		return false
	}
	h.ticks--
	return true
}

func (h *hold) applied(term uint64) {
	if term > h.term {
		h.ticks = 0
	}
}

// abstains tells whether a message goes unanswered because of the hold.
func (c *core) abstains(m *pb.Message) bool {
	if c.hold.ticks == 0 {
		return false
	}
	switch m.GetType() {
	case pb.MsgVote, pb.MsgPreVote:
		return c.hold.ticks > c.hold.voting
	case pb.MsgTimeoutNow:
		return true
	}
	return false
}
