package replica

import (
	pb "go.etcd.io/raft/v3/raftpb"
)

// effects is what the core wants done since it was asked last. Each list is in
// order; the lists may be done side by side.
type effects struct {
	saves     []*save
	work      []*work
	messages  []*pb.Message // for peers, now
	snapshots []*pb.Message // for members that are behind the log
	compact   uint64        // entries up to it are not needed; 0: nothing new
	calls     []func()      // of the shard's owner
}

// save is what has to be in the log before its responses may be delivered.
type save struct {
	Update
	responses []*pb.Message
	after     *work // must be done before; nil for most
	done      bool
}

func (s *save) empty() bool {
	return s.HardState == nil && len(s.Entries) == 0 && s.Snapshot == nil
}

// work is what has to be done to the machine: entries that are applied, or a
// snapshot that is installed.
type work struct {
	entries  []*pb.Entry
	members  []*pb.ConfState // as of each entry, where it changed them; else nil
	response *pb.Message     // for the core once all are applied

	install Staged
	at      *pb.SnapshotMetadata // of install
	done    bool
}

// run does the work from its step on, until an error. It returns the step to go
// on with, which is past the last one once all is done, and what was applied.
func (w *work) run(m Machine, step int) (next int, applied []Applied, err error) {
	if w.install != nil {
		if err := w.install.Install(); err != nil {
			return step, nil, err
		}
		return 1, nil, nil
	}
	for ; step < len(w.entries); step++ {
		e := w.entries[step]
		a := Applied{Index: e.GetIndex(), Term: e.GetTerm()}
		if w.members[step] != nil {
			err = m.SetMembers(a.Index, a.Term, w.members[step])
		} else {
			a.Outcome, err = m.Apply(a.Index, a.Term, e.GetData())
		}
		if err != nil {
			return step, applied, err
		}
		applied = append(applied, a)
	}
	return step, applied, nil
}
