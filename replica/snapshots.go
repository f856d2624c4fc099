package replica

import (
	"errors"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// A snapshot is in the machine before raft hears of it, and before the log
// begins again behind it: what is committed may be applied at any time, and a
// crash between leaves a machine that is ahead of its log, which a start mends.
// The other way round it would leave a gap.

// receive has the machine take a snapshot, one at a time.
func (c *core) receive(o Offer) {
	if c.giving.stopped || c.taking {
		c.call(o.Decline)
		return
	}
	c.taking = true
	c.out.work = append(c.out.work, &work{offer: o})
}

// taken tells that the machine's state is a snapshot's now, or why it is not.
func (c *core) taken(meta *pb.SnapshotMetadata, err error) {
	c.guard(func() {
		c.taking = false
		if err == nil {
			err = checkPosition(meta)
		}
		if err != nil {
			return // the leader offers again
		}
		index, term := meta.GetIndex(), meta.GetTerm()
		c.jumped = max(c.jumped, index)
		c.call(func() { c.events.Installed(index, term) })
		c.passed(index, term)
		c.restore = meta
		c.tryRestore()
	})
}

// tryRestore tells raft of a snapshot that the machine has taken, as if it came
// from who leads now: what it has is committed in every later term.
func (c *core) tryRestore() {
	if c.restore == nil {
		return
	}
	if c.commit >= c.restore.GetIndex() || c.role == raft.StateLeader {
		c.restore = nil // the log has come to it by itself
		return
	}
	if c.leader == raft.None {
		return
	}
	m := &pb.Message{
		Type: pb.MsgSnap.Enum(), From: new(c.leader), To: new(c.member), Term: new(c.term),
		Snapshot: &pb.Snapshot{Metadata: c.restore},
	}
	c.restoring, c.restore = c.restore, nil
	if err := c.node.Step(m); err != nil {
		panic("a snapshot: " + err.Error())
	}
}

// restored has the log begin again behind the snapshot.
func (c *core) restored(s *save, meta *pb.SnapshotMetadata) {
	if c.restoring.GetIndex() != meta.GetIndex() || c.restoring.GetTerm() != meta.GetTerm() {
		panic("raft restores a snapshot that the machine does not have")
	}
	s.Snapshot = meta
	if len(s.Entries) == 0 {
		c.last = position{meta.GetTerm(), meta.GetIndex()}
	}
}

// snapshotSaved tells that the log is behind the machine's snapshot.
func (c *core) snapshotSaved(meta *pb.SnapshotMetadata) {
	c.log.applied = meta
	c.raftApplied = max(c.raftApplied, meta.GetIndex())
}

// checkPosition wants a position and members that raft can take.
func checkPosition(meta *pb.SnapshotMetadata) error {
	if meta.GetIndex() == 0 || meta.GetTerm() == 0 {
		return errors.New("a snapshot of no entry")
	}
	return checkMembers(meta.GetConfState())
}

// snapshotSent tells that offering a snapshot has ended.
func (c *core) snapshotSent(member uint64, ok bool) {
	status := raft.SnapshotFinish
	if !ok {
		status = raft.SnapshotFailure
	}
	c.guard(func() { c.node.ReportSnapshot(member, status) })
}

// checkpointed tells that the machine's state is durable up to the index. raft
// may still ask for entries from what it knows to be applied on.
func (c *core) checkpointed(index uint64) {
	c.guard(func() { c.out.compact = max(c.out.compact, min(index, c.raftApplied)) })
}
