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
	last      position // of the log after it
	done      bool
}

func (s *save) empty() bool {
	return s.HardState == nil && len(s.Entries) == 0 && s.Snapshot == nil
}

// work is what has to be done to the machine: entries that are applied, or a
// snapshot that is taken.
type work struct {
	entries  []*pb.Entry
	members  []*pb.ConfState // as of each entry, where it changed them; else nil
	response *pb.Message     // for the core once all are applied

	offer Offer
}

// run applies entries from one on, until an error. It returns which one to go on
// with, past the last once all are applied, and what was applied.
func (w *work) run(m Machine, from int) (next int, applied []Applied, err error) {
	for ; from < len(w.entries); from++ {
		e := w.entries[from]
		a := Applied{Index: e.GetIndex(), Term: e.GetTerm()}
		if w.members[from] != nil {
			err = m.SetMembers(a.Index, a.Term, w.members[from])
		} else {
			a.Outcome, err = m.Apply(a.Index, a.Term, e.GetData())
		}
		if err != nil {
			return from, applied, err
		}
		applied = append(applied, a)
	}
	return from, applied, nil
}
