package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// storage is the log as raft sees it: members, and the snapshot for who is
// behind, are the machine's.
type storage struct {
	Log
	state   *pb.HardState
	applied *pb.SnapshotMetadata // what raft knows the machine to have applied
}

func (s *storage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return s.state, s.applied.GetConfState(), nil
}

// Snapshot says that there is one at what is applied. What is sent is made
// when the sender begins, and may be newer.
func (s *storage) Snapshot() (*pb.Snapshot, error) {
	if s.applied.GetIndex() == 0 {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &pb.Snapshot{Metadata: s.applied}, nil
}

// setApplied moves to the last entry of a work, if that is not behind.
func (s *storage) setApplied(w *work) {
	last := w.entries[len(w.entries)-1]
	if last.GetIndex() <= s.applied.GetIndex() {
		return
	}
	members := s.applied.GetConfState()
	for _, m := range w.members {
		if m != nil {
			members = m
		}
	}
	s.applied = &pb.SnapshotMetadata{Index: new(last.GetIndex()), Term: new(last.GetTerm()), ConfState: members}
}
