package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// incoming is a snapshot that has arrived and was not asked for yet by raft.
type incoming struct {
	index, term uint64
	staged      Staged
}

// receive takes a snapshot that has arrived in full, with the message that it
// was sent for. If this member does not need it, it is thrown away.
func (c *core) receive(m *pb.Message, staged Staged) (err error) {
	if c.giving.stopped {
		c.call(staged.Discard)
		return ErrStopped
	}
	c.guard(func() {
		if err = c.check(m); err != nil {
			c.call(staged.Discard)
			c.refuse(err)
			return
		}
		c.discardIncoming()
		meta := m.GetSnapshot().GetMetadata()
		c.incoming = &incoming{meta.GetIndex(), meta.GetTerm(), staged}
		err = c.node.Step(m)
		c.drain()
		c.discardIncoming()
	})
	return err
}

func (c *core) discardIncoming() {
	if c.incoming != nil {
		c.call(c.incoming.staged.Discard)
		c.incoming = nil
	}
}

// takeIncoming has the machine install the snapshot that raft restored, before
// the log begins again behind it: the other way round a crash between the two
// would leave a gap.
func (c *core) takeIncoming(s *save, meta *pb.SnapshotMetadata) {
	if c.incoming == nil || c.incoming.index != meta.GetIndex() || c.incoming.term != meta.GetTerm() {
		panic("raft restores a snapshot that did not arrive")
	}
	w := &work{install: c.incoming.staged, at: meta}
	c.incoming = nil
	s.Snapshot, s.after = meta, w
	if len(s.Entries) == 0 {
		c.last = meta.GetIndex()
	}
	c.out.work = append(c.out.work, w)
}

// installed tells of the machine's new state.
func (c *core) installed(meta *pb.SnapshotMetadata) {
	c.log.applied = meta
	c.call(func() { c.events.Installed(meta.GetIndex(), meta.GetTerm()) })
	c.passed(meta.GetIndex(), meta.GetTerm())
	c.hold.applied(meta.GetTerm())
}

// snapshotSent tells that sending a snapshot has ended.
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
