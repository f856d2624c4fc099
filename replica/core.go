package replica

import (
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

const (
	maxMessageBytes  = 1 << 20 // of entries in one message, unless one is larger
	maxInFlightBytes = 4 << 20 // of entries sent to a follower and not acknowledged
	maxInFlight      = 256     // messages of them
	maxApplyingBytes = 4 << 20 // of entries given to the machine and not applied
)

// core decides for one member of one shard. It has no goroutine, clock or I/O,
// but for reads of the log: each method is an event, and take returns what is
// to be done. Its methods are called by one goroutine at a time.
type core struct {
	member         uint64
	electionTicks  int
	heartbeatTicks int
	alarm          func(error)
	events         Events
	node           *raft.RawNode
	log            *storage

	// As of the last Ready.
	role    raft.StateType
	leader  uint64
	term    uint64
	vote    uint64
	commit  uint64
	last    position // of the newest entry, saved or not
	commits postponed

	durable   position      // of the newest entry that is saved
	saved     *pb.HardState // as handed to the log last
	saves     []*save       // not done, in order
	due       []*pb.Message // responses whose save is done
	proposals proposals

	taking    bool                 // the machine takes a snapshot
	restore   *pb.SnapshotMetadata // taken, and raft is to hear of it
	restoring *pb.SnapshotMetadata // raft heard of it last
	jumped    uint64               // up to where the machine came by snapshots

	raftApplied uint64 // up to where raft knows that entries are applied
	led         uint64 // the term that Led told of; 0: not serving
	told        leadership
	hold        hold
	giving      giving
	refused     uint64     // messages of peers
	followers   []Progress // of a leader, as of the last tick
	// heard is for how many ticks a member counts as heard of though raft has just
	// begun to listen anew, of a leader.
	heard map[uint64]int

	out effects
}

// leadership is who leads in a term.
type leadership struct{ member, term uint64 }

type coreOptions struct {
	member         uint64
	electionTicks  int
	heartbeatTicks int
	holdTicks      int // see Options
	events         Events
	alarm          func(error)
	logger         *slog.Logger
}

// newCore takes up a log and a machine that begin has made agree.
func newCore(o coreOptions, log *storage) (c *core, err error) {
	c = &core{commits: newPostponed(), member: o.member, electionTicks: o.electionTicks, heartbeatTicks: o.heartbeatTicks, events: o.events, alarm: o.alarm, log: log}
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("raft: %v", p)
		}
	}()
	c.node, err = raft.NewRawNode(&raft.Config{
		ID:                        o.member,
		ElectionTick:              o.electionTicks,
		HeartbeatTick:             o.heartbeatTicks,
		Storage:                   log,
		Applied:                   log.applied.GetIndex(),
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  maxApplyingBytes,
		MaxInflightMsgs:           maxInFlight,
		MaxInflightBytes:          maxInFlightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{o.logger},
	})
	if err != nil {
		return nil, err
	}
	state, _, err := log.InitialState()
	if err != nil {
		return nil, err
	}
	if c.last.index, err = log.LastIndex(); err != nil {
		return nil, err
	}
	if c.last.term, err = log.Term(c.last.index); err != nil {
		return nil, err
	}
	c.term, c.vote, c.commit = state.GetTerm(), state.GetVote(), state.GetCommit()
	c.saved, c.raftApplied = state, log.applied.GetIndex()
	c.durable, c.hold = c.last, newHold(o.holdTicks)
	return c, nil
}

// guard runs an event. What raft or the log panics with ends the member's part
// in this shard, not the process.
func (c *core) guard(event func()) {
	if c.giving.stopped {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			c.stop(fmt.Errorf("the shard panicked: %v", p))
		}
	}()
	event()
	c.drain()
}

// tick tells that a tick has passed.
func (c *core) tick() {
	c.guard(func() {
		c.giving.tick(c)
		c.followers = nil
		c.tellPostponed()
		c.noteHeard()
		if !c.giving.stopped && !c.holdTick() {
			c.node.Tick()
		}
	})
}

// step takes a peer's message. The error says why it was refused.
func (c *core) step(m *pb.Message) (err error) {
	if c.giving.stopped {
		return ErrStopped
	}
	c.guard(func() {
		if err = c.check(m); err != nil {
			c.refuse(err)
			return
		}
		if c.calls(m) || c.abstains(m) {
			return
		}
		err = c.node.Step(m)
	})
	return err
}

// unreachable tells that a message to the member was lost for sure.
func (c *core) unreachable(member uint64) {
	c.guard(func() { c.node.ReportUnreachable(member) })
}

// take returns what is to be done since it was called last.
func (c *core) take() effects {
	out := c.out
	c.out = effects{}
	return out
}

// call has a callback of the shard's owner called.
func (c *core) call(f func()) { c.out.calls = append(c.out.calls, f) }
