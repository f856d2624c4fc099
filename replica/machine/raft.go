package machine

import (
	"encoding/binary"
	"errors"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica/entry"
)

// Raft is a Machine as what drives it wants it: it applies any entries, and keeps
// raft's own description of the members.
type Raft struct{ *Machine }

// Apply is Machine.Apply; the outcome is an Outcome.
func (r Raft) Apply(index, term uint64, data []byte) (outcome any, err error) {
	return r.Machine.Apply(index, term, data)
}

// Fatal says that an entry cannot be applied here, however often it is tried.
func (r Raft) Fatal(err error) bool {
	return errors.Is(err, entry.ErrUnknownEntry) || errors.Is(err, entry.ErrMalformed) || errors.Is(err, errUnsure)
}

// Members are those that the shard has as of what is applied; nil if it was never
// told any.
func (r Raft) Members() *pb.ConfState {
	b := r.Machine.Members()
	if b == nil {
		return nil
	}
	return decodeMembers(b)
}

// SetMembers is Machine.SetMembers: the members are all who have any part in it.
func (r Raft) SetMembers(index, term uint64, members *pb.ConfState) error {
	lists := listsOf(members)
	return r.Machine.SetMembers(index, term, encodeMembers(members), slices.Concat(lists[:]...))
}

// The members are four lists and a flag, all as uvarints, the same on all replicas:
//
//	(count, ids…) of voters, learners, outgoing voters, next learners | 1 if the change ends by itself
func encodeMembers(members *pb.ConfState) []byte {
	b := []byte{}
	for _, ids := range listsOf(members) {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range slices.Sorted(slices.Values(ids)) {
			b = binary.AppendUvarint(b, id)
		}
	}
	auto := uint64(0)
	if members.GetAutoLeave() {
		auto = 1
	}
	return binary.AppendUvarint(b, auto)
}

func listsOf(members *pb.ConfState) [4][]uint64 {
	return [4][]uint64{members.GetVoters(), members.GetLearners(), members.GetVotersOutgoing(), members.GetLearnersNext()}
}

// decodeMembers is the inverse of encodeMembers, whose bytes a checkpoint's sum
// has kept as they were.
func decodeMembers(b []byte) *pb.ConfState {
	r := numberReader{b: b}
	list := func() (ids []uint64) {
		for n := r.next(); n > 0 && !r.failed; n-- {
			ids = append(ids, r.next())
		}
		return ids
	}
	members := &pb.ConfState{Voters: list(), Learners: list(), VotersOutgoing: list(), LearnersNext: list()}
	members.AutoLeave = new(r.next() == 1)
	return members
}
