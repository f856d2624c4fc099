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
type hold struct {
	ticks int // left
	term  uint64
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
	case pb.MsgVote, pb.MsgPreVote, pb.MsgTimeoutNow:
		return true
	}
	return false
}
