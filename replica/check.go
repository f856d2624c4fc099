package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// ErrMessage is wrapped by the error of a peer's message that is refused: raft
// would panic on it, or it makes no sense.
var ErrMessage = errors.New("message refused")

// maxTermJump is how far ahead a peer's term may be. Elections take tens of
// milliseconds, so no honest one gets there, and a wild one must not use up the
// numbers.
const maxTermJump = 1 << 32

// transferring is what raft writes into the vote request of a member that was
// asked to take leadership over.
const transferring = "CampaignTransfer"

// check refuses what must not reach raft. An error that wraps ErrForgetful says
// that the peer knows of an acknowledgement that this log does not have.
func (c *core) check(m *pb.Message) error {
	switch {
	case m == nil:
		return fmt.Errorf("%w: none", ErrMessage)
	case m.GetTo() != c.member:
		return fmt.Errorf("%w: for member %x", ErrMessage, m.GetTo())
	case m.GetFrom() == raft.None || m.GetFrom() == c.member || raft.IsLocalMsgTarget(m.GetFrom()):
		return fmt.Errorf("%w: from member %x", ErrMessage, m.GetFrom())
	case m.GetTerm() == 0 || m.GetTerm() > c.term+maxTermJump:
		return fmt.Errorf("%w: %v of term %d in term %d", ErrMessage, m.GetType(), m.GetTerm(), c.term)
	}
	if err := checkContext(m); err != nil {
		return err
	}
	switch m.GetType() {
	case pb.MsgApp:
		return checkEntries(m)
	case pb.MsgAppResp:
		return c.checkAcknowledged(m)
	case pb.MsgHeartbeat:
		return c.checkHeartbeat(m)
	case pb.MsgTimeoutNow:
		if m.GetTerm() != c.term || m.GetFrom() != c.leader {
			return fmt.Errorf("%w: %v from who does not lead", ErrMessage, m.GetType())
		}
	case pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp, pb.MsgHeartbeatResp:
	default:
		return fmt.Errorf("%w: type %v", ErrMessage, m.GetType())
	}
	return nil
}

// checkContext lets only vote requests and roll calls have one: raft reads
// numbers from others'.
func checkContext(m *pb.Message) error {
	if len(m.GetContext()) == 0 {
		return nil
	}
	switch context := string(m.GetContext()); m.GetType() {
	case pb.MsgVote:
		if context == transferring {
			return nil
		}
	case pb.MsgPreVote, pb.MsgPreVoteResp:
		if context == rollCall {
			return nil
		}
	}
	return fmt.Errorf("%w: %v with a context", ErrMessage, m.GetType())
}

// checkEntries wants entries to follow one another.
func checkEntries(m *pb.Message) error {
	index, term := m.GetIndex(), m.GetLogTerm()
	for _, e := range m.GetEntries() {
		index++
		switch {
		case e == nil || e.GetIndex() != index || index == 0:
			return fmt.Errorf("%w: entry %d where %d follows", ErrMessage, e.GetIndex(), index)
		case e.GetTerm() < term || e.GetTerm() == 0 || e.GetTerm() > m.GetTerm():
			return fmt.Errorf("%w: entry %d of term %d after term %d", ErrMessage, index, e.GetTerm(), term)
		case e.GetType() != pb.EntryNormal && !changes(e):
			return fmt.Errorf("%w: entry %d of type %v", ErrMessage, index, e.GetType())
		}
		term = e.GetTerm()
	}
	if m.GetLogTerm() > m.GetTerm() {
		return fmt.Errorf("%w: follows an entry of term %d in term %d", ErrMessage, m.GetLogTerm(), m.GetTerm())
	}
	return nil
}

// changes tells whether the entry is a change of members that can be read.
func changes(e *pb.Entry) (ok bool) {
	defer func() { ok = recover() == nil }()
	decodeChange(e)
	return
}

// checkAcknowledged wants a follower of this leader to have nothing that the
// leader has not. A leader that was ended and is none now may well have lost
// entries that others saved sooner than it did.
func (c *core) checkAcknowledged(m *pb.Message) error {
	if c.role == raft.StateLeader && m.GetTerm() == c.term && !m.GetReject() && m.GetIndex() > c.last.index {
		return fmt.Errorf("%w: entry %d acknowledged, the last is %d", ErrMessage, m.GetIndex(), c.last.index)
	}
	if m.GetReject() && m.GetRejectHint() > m.GetIndex() {
		return fmt.Errorf("%w: rejects entry %d with a hint at %d", ErrMessage, m.GetIndex(), m.GetRejectHint())
	}
	return nil
}

// checkHeartbeat: what a leader says is committed here was acknowledged by this
// member to that leader. If the log does not have it, it has lost it, which is
// no news where its end is known to be cut off.
func (c *core) checkHeartbeat(m *pb.Message) error {
	if m.GetTerm() >= c.term && m.GetCommit() > c.last.index && !c.hold.asking {
		return fmt.Errorf("%w: member %x knows entry %d to be here, the last is %d: %w",
			ErrMessage, m.GetFrom(), m.GetCommit(), c.last.index, ErrForgetful)
	}
	return nil
}

// checkMembers wants members that raft can be given.
func checkMembers(members *pb.ConfState) error {
	if len(members.GetVoters()) == 0 {
		return errors.New("no voters")
	}
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	config, progress, err := confchange.Restore(changer, members)
	if err != nil {
		return err
	}
	restored := tracker.ProgressTracker{Config: config, Progress: progress}
	return members.Equivalent(restored.ConfState())
}

// refuse counts a message that was refused. One that shows that this member
// forgot what it acknowledged ends its part: its votes are worth nothing.
func (c *core) refuse(err error) {
	c.refused++
	if errors.Is(err, ErrForgetful) {
		c.stop(err)
	}
}
