package replica

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
)

// begin makes the log and the machine agree after a start. The update, if there
// is one, must be saved before the member takes part.
//
// A new shard begins at index 1 of term 1, not at 0: so whoever joins later
// never finds the log's first entry and gets a snapshot, which has the members.
func begin(log Log, m Machine, voters []uint64) (*storage, *Update, error) {
	state, _, err := log.InitialState()
	if err != nil {
		return nil, nil, err
	}
	last, err := log.LastIndex()
	if err != nil {
		return nil, nil, err
	}
	index, _ := m.Applied()
	if index == 0 && last == 0 && len(voters) > 0 {
		if err := bootstrap(m, voters); err != nil {
			return nil, nil, err
		}
	}
	index, term := m.Applied()
	s := &storage{Log: log, applied: &pb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: m.Members()}}
	switch {
	case index > 0 && len(s.applied.GetConfState().GetVoters()) == 0:
		return nil, nil, fmt.Errorf("the checkpoint at entry %d has no members", index)
	case index == 0:
		s.applied.ConfState = new(pb.ConfState) // who joins learns them from a snapshot
	}
	if state.GetCommit() > last && state.GetCommit() > index {
		return nil, nil, fmt.Errorf("%w: entry %d was committed, the last is %d", ErrForgetful, state.GetCommit(), last)
	}
	s.state = adjust(state, index, term)
	if index > last {
		return s, &Update{HardState: s.state, Snapshot: s.applied}, nil
	}
	return s, nil, checkApplied(log, index, term)
}

// bootstrap makes the first state of a new shard durable.
func bootstrap(m Machine, voters []uint64) error {
	members := &pb.ConfState{Voters: voters, AutoLeave: new(false)}
	if err := checkMembers(members); err != nil {
		return err
	}
	if err := m.SetMembers(1, 1, members); err != nil {
		return err
	}
	_, err := m.Checkpoint()
	return err
}

// adjust raises the saved state to what the machine knows: what is applied is
// committed, whether or not that was noted. Nobody was voted for in a term that
// was not saved.
func adjust(state *pb.HardState, index, term uint64) *pb.HardState {
	adjusted := &pb.HardState{Term: new(state.GetTerm()), Vote: new(state.GetVote()), Commit: new(max(state.GetCommit(), index))}
	if term > state.GetTerm() {
		adjusted.Term, adjusted.Vote = new(term), new(uint64(0))
	}
	return adjusted
}

// checkApplied wants the log to go on where the machine is.
func checkApplied(log Log, index, term uint64) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	if index+1 < first {
		return fmt.Errorf("%w: it begins at entry %d, the checkpoint ends at %d", ErrForgetful, first, index)
	}
	if at, err := log.Term(index); err != nil {
		return err
	} else if at != term {
		return fmt.Errorf("%w: entry %d is of term %d there, of term %d in the checkpoint", ErrForgetful, index, at, term)
	}
	return nil
}
