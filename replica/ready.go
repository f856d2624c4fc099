package replica

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// drain turns all that raft has ready into effects, and proposes what waited.
func (c *core) drain() {
	for !c.giving.stopped {
		switch {
		case len(c.due) > 0:
			m := c.due[0]
			c.due = c.due[1:]
			c.respond(m)
		case c.node.HasReady():
			c.accept(c.node.Ready())
			c.tryRestore()
		case !c.proposeWaiting():
			return
		}
	}
}

func (c *core) accept(rd raft.Ready) {
	if h := rd.HardState; h != nil {
		c.term, c.vote, c.commit = h.GetTerm(), h.GetVote(), h.GetCommit()
	}
	if rd.SoftState != nil {
		c.role, c.leader = rd.RaftState, rd.Lead
	}
	c.tellLeader()
	for _, m := range rd.Messages {
		switch {
		case m.GetTo() == raft.LocalAppendThread:
			c.append(m)
		case m.GetTo() == raft.LocalApplyThread:
			c.apply(m)
		case m.GetType() == pb.MsgSnap:
			c.out.snapshots = append(c.out.snapshots, m)
		case c.commits.take(m):
		default:
			c.out.messages = append(c.out.messages, m)
		}
	}
}

// tellLeader tells of a change of who leads.
func (c *core) tellLeader() {
	now := leadership{c.leader, c.term}
	if now == c.told {
		return
	}
	c.told = now
	c.commits.clear()
	if c.role != raft.StateLeader || c.led != c.term {
		c.depose()
	}
	if c.role != raft.StateLeader {
		c.failWaiting(ErrNotLeader)
	}
	c.call(func() { c.events.Leader(now.member, now.term) })
}

// depose tells that serving ends, if it had begun.
func (c *core) depose() {
	if c.led != 0 {
		c.led = 0
		c.call(c.events.Deposed)
	}
}

// append queues what raft wants saved before its responses are delivered. A
// commit index alone is not worth a write: it goes along with the next one.
func (c *core) append(m *pb.Message) {
	s := &save{responses: m.GetResponses()}
	s.Entries = m.GetEntries()
	if n := len(s.Entries); n > 0 {
		c.last = position{s.Entries[n-1].GetTerm(), s.Entries[n-1].GetIndex()}
	}
	c.noteAwaited(s.Entries)
	if !raft.IsEmptySnap(m.GetSnapshot()) {
		c.restored(s, m.GetSnapshot().GetMetadata())
	}
	s.last = c.last
	voted := c.term != c.saved.GetTerm() || c.vote != c.saved.GetVote()
	if voted || !s.empty() {
		s.HardState = &pb.HardState{Term: new(c.term), Vote: new(c.vote), Commit: new(c.commit)}
		c.saved = s.HardState
	}
	c.saves = append(c.saves, s)
	if s.empty() {
		s.done = true
		c.finishSaves()
		return
	}
	c.out.saves = append(c.out.saves, s)
}

// saveDone tells that the log has done a save. They are done in order.
func (c *core) saveDone(s *save, err error) {
	c.guard(func() {
		if err != nil {
			c.logFailed(err)
			return
		}
		s.done = true
		c.finishSaves()
	})
}

// finishSaves makes the responses due of all saves that are done, in order.
func (c *core) finishSaves() {
	for len(c.saves) > 0 && c.saves[0].done {
		s := c.saves[0]
		c.saves[0] = nil
		c.saves = c.saves[1:]
		c.durable = s.last
		c.due = append(c.due, s.responses...)
	}
}

// respond delivers a response of the log or the machine.
func (c *core) respond(m *pb.Message) {
	if m.GetTo() != c.member {
		c.out.messages = append(c.out.messages, m)
		return
	}
	if m.GetType() == pb.MsgStorageAppendResp && m.GetSnapshot() != nil {
		c.snapshotSaved(m.GetSnapshot().GetMetadata())
	}
	if err := c.node.Step(m); err != nil && err != raft.ErrStepPeerNotFound {
		panic(fmt.Sprintf("its own %v: %v", m.GetType(), err))
	}
}

// apply hands committed entries to the machine. Members change at once: what
// is committed will be applied.
func (c *core) apply(m *pb.Message) {
	w := &work{entries: m.GetEntries(), response: m.GetResponses()[0]}
	w.members = make([]*pb.ConfState, len(w.entries))
	for i, e := range w.entries {
		if e.GetType() != pb.EntryNormal {
			w.members[i] = c.node.ApplyConfChange(decodeChange(e))
		}
	}
	c.out.work = append(c.out.work, w)
}

// decodeChange panics on an entry that is not a change of members.
func decodeChange(e *pb.Entry) pb.ConfChangeI {
	var change interface {
		pb.ConfChangeI
		proto.Message
	}
	switch e.GetType() {
	case pb.EntryConfChange:
		change = new(pb.ConfChange)
	case pb.EntryConfChangeV2:
		change = new(pb.ConfChangeV2)
	default:
		panic(fmt.Sprintf("entry %d has the unknown type %v", e.GetIndex(), e.GetType()))
	}
	if err := proto.Unmarshal(e.GetData(), change); err != nil {
		panic(fmt.Sprintf("entry %d is no change of members: %v", e.GetIndex(), err))
	}
	return change
}

// worked tells what was applied of a piece of work, and whether that was the
// last of it.
func (c *core) worked(w *work, applied []Applied, done bool) {
	c.guard(func() {
		for _, a := range applied {
			c.entryApplied(a, w)
		}
		if !done {
			return
		}
		c.log.setApplied(w)
		c.raftApplied = max(c.raftApplied, c.log.applied.GetIndex())
		c.due = append(c.due, w.response)
	})
}

// confirm proposes an empty entry behind a change of the members that is
// committed. Who has it has saved that along with it: it needs nobody any more
// whom the change removed, even when all were ended and come back without this
// leader.
func (c *core) confirm() { c.propose(&proposal{done: func(any, error) {}}) }

// entryApplied tells of an entry, and then whom it concerns.
func (c *core) entryApplied(a Applied, w *work) {
	e := w.entries[a.Index-w.entries[0].GetIndex()]
	if a.Index > c.jumped && (e.GetType() != pb.EntryNormal || len(e.GetData()) > 0) {
		c.call(func() { c.events.Applied(a) })
	}
	c.resolveProposals(a, e.GetType() != pb.EntryNormal)
	if e.GetType() != pb.EntryNormal && c.role == raft.StateLeader {
		c.confirm()
	}
	if c.role == raft.StateLeader && a.Term == c.term && c.led != a.Term {
		c.led = a.Term
		c.call(func() { c.events.Led(a.Term) })
	}
}
