package replica

import (
	"context"
	"errors"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// What becomes of a proposal that is not applied.
var (
	// ErrNotLeader says that nothing was proposed: this member does not lead.
	ErrNotLeader = errors.New("not the leader")
	// ErrBusy says that nothing was proposed: too many bytes wait already.
	ErrBusy = errors.New("too many proposals wait")
	// ErrLost says that another entry took the proposal's place: it will never
	// be applied.
	ErrLost = errors.New("the proposal lost its place")
	// ErrUnknown says that the machine's state was replaced by a snapshot that
	// covers the proposal's place: the machine knows what became of it.
	ErrUnknown = errors.New("a snapshot passed the proposal's place")
	// ErrStopped says that the shard stopped or takes no part any more. What
	// was proposed before may be applied on others.
	ErrStopped = errors.New("the shard is stopped")
	// ErrRefused says that a change of the members cannot be made now, or never.
	ErrRefused = errors.New("change of members refused")
)

// ErrForgetful says that this member's log lacks what it once acknowledged or
// voted for. It must not take part under its old id.
var ErrForgetful = errors.New("the log lacks what this member acknowledged")

// Log is a shard's part of the node's write-ahead log.
type Log interface {
	raft.Storage
	// Save queues an update. It does not wait, and calls Done on a goroutine of
	// its own, in the order of the calls. After an error every later update
	// fails too.
	Save(Update)
	// Compact says that entries up to the index are not needed by this member.
	Compact(index uint64)
}

// Update is what is saved at once, whole or not at all. Done is called when it
// would survive what the log is made to survive. Entries and HardState are never
// changed afterwards.
type Update struct {
	HardState *pb.HardState        // nil: unchanged
	Entries   []*pb.Entry          // they replace what is there from the first one's index on
	Snapshot  *pb.SnapshotMetadata // nil: none; else the log begins again behind it
	Done      func(error)
}

// Machine is what committed entries are applied to. The methods but Checkpoint
// are called by one goroutine at a time.
type Machine interface {
	// Applied is the position of the last entry that is applied, 0 if there was
	// never one.
	Applied() (index, term uint64)
	// Members are those as of the applied position; nil if there was never one.
	Members() *pb.ConfState
	// Apply applies an entry. Data is empty if it is raft's own, which only
	// moves the position. After an error nothing is applied, and the same entry
	// is tried again later, unless Fatal says that this is of no use. An entry at
	// or below Applied, as there may be after a snapshot, changes nothing.
	Apply(index, term uint64, data []byte) (outcome any, err error)
	// SetMembers applies an entry that changed the members.
	SetMembers(index, term uint64, members *pb.ConfState) error
	// Checkpoint makes the state durable and returns the position that it has
	// reached. It may run beside the other methods.
	Checkpoint() (index uint64, err error)
	// Fatal tells whether the error says that this program cannot apply the
	// entry at all. The shard stops then.
	Fatal(err error) bool
}

// Offer is a snapshot that a leader has for this member.
type Offer interface {
	// Take receives it and makes it the machine's state, durably, and returns
	// its position and members. It is called on the goroutine that applies, which
	// does nothing else meanwhile, and ends when the context does. After an error
	// the state is as it was, and the leader will offer another.
	Take(context.Context) (*pb.SnapshotMetadata, error)
	// Decline is called in its place, on the shard's goroutine, where another
	// one is being taken or the shard is stopped. It must not wait.
	Decline()
}

// Snapshots brings the machine's state to members that are behind the log.
type Snapshots interface {
	// Offer tells the member that the message is for of a snapshot, as its
	// Shard.Receive wants it. It must not wait. Shard.SnapshotSent must be called
	// when the member has taken it, or will not. What it takes may be newer than
	// what the message says.
	Offer(*pb.Message)
}

// Events is told what becomes of the shard, in order, on the shard's goroutine.
// The methods must not wait for anything; they may call Shard.Propose.
type Events interface {
	// Leader tells who leads in the term; 0 if that is not known.
	Leader(member, term uint64)
	// Led tells that this member leads and has applied the first entry of its
	// own term: serving may begin.
	Led(term uint64)
	// Deposed follows Led when it leads no more.
	Deposed()
	// Applied tells the outcome of each entry that was proposed by anybody,
	// before the proposal's own callback.
	Applied(Applied)
	// Installed tells that the machine's state was replaced by a snapshot's.
	Installed(index, term uint64)
}

// Applied is an entry that was applied.
type Applied struct {
	Index, Term uint64
	Outcome     any // the machine's; nil for a change of members
}
