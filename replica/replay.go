package replica

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// ErrGap means that the log does not go on where the machine is.
var ErrGap = errors.New("entries are missing between the checkpoint and the log")

// replayBytes is how much of a log is read at a time.
const replayBytes = 4 << 20

// Replay applies all that a log has, committed or not, to a machine that nobody else
// uses. It is for a shard whose other members are lost: what they may have OK'd is in
// the log, if it is anywhere. The machine's members are then all that ever had a part in
// it, and no others should go on with it as they are. It ends at the first entry that
// cannot be read, with an error; ErrGap says that nothing could be applied.
func Replay(log raft.Storage, m Machine) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil {
		return err
	}
	index, _ := m.Applied()
	if index+1 < first {
		return fmt.Errorf("%w: of entries %d to %d", ErrGap, index+1, first-1)
	}
	for index < last {
		entries, err := log.Entries(index+1, last+1, replayBytes)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := replayOne(e, m); err != nil {
				return err
			}
			index = e.GetIndex()
		}
	}
	return nil
}

func replayOne(e *pb.Entry, m Machine) (err error) {
	if e.GetType() == pb.EntryNormal {
		_, err = m.Apply(e.GetIndex(), e.GetTerm(), e.GetData())
		return err
	}
	members := &pb.ConfState{Voters: slices.Concat(m.Members().GetVoters(), m.Members().GetLearners(), m.Members().GetVotersOutgoing())}
	for _, c := range decodeChange(e).AsV2().GetChanges() {
		members.Voters = append(members.Voters, c.GetNodeId()) // one that is removed had its part in what comes before
	}
	slices.Sort(members.Voters)
	members.Voters, members.AutoLeave = slices.Compact(members.Voters), new(false)
	return m.SetMembers(e.GetIndex(), e.GetTerm(), members)
}
