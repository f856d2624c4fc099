package replica

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qmq/raftlog"
	"qmq/replica/machine"
)

// LogOf is a shard's part of the node's log.
func LogOf(l *raftlog.Log, shard uint32) Log { return shardLog{l.Shard(shard), l, shard} }

type shardLog struct {
	*raftlog.Shard
	log *raftlog.Log
	id  uint32
}

func (l shardLog) Save(u Update) {
	l.log.Save(&raftlog.Update{Shard: l.id, HardState: u.HardState, Entries: u.Entries, Snapshot: u.Snapshot, Done: u.Done})
}

func (l shardLog) Compact(index uint64) { l.log.Compact(l.id, index) }

// MachineOf has a shard of topics apply to m. Outcomes are machine.Outcome.
func MachineOf(m *machine.Machine) Machine { return machine.Raft{Machine: m} }

// EncodeMembers is what a machine keeps of its shard's members. The same members
// give the same bytes.
func EncodeMembers(members *pb.ConfState) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(members)
}

// DecodeMembers is the reverse; nil for no bytes.
func DecodeMembers(b []byte) (*pb.ConfState, error) {
	if len(b) == 0 {
		return nil, nil
	}
	members := new(pb.ConfState)
	if err := proto.Unmarshal(b, members); err != nil {
		return nil, fmt.Errorf("members of a shard: %w", err)
	}
	if members.AutoLeave == nil {
		members.AutoLeave = new(false)
	}
	return members, nil
}
