package replica

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// giving is how a member ends its part in the shard: a leader whose log failed
// gives leadership up first, for an election timeout at most.
type giving struct {
	err      error // why; nil while it takes part
	yielding bool
	ticks    int // left to yield
	stopped  bool
}

// logFailed tells that a save failed. Nothing that rests on it, or on what
// comes after, is ever answered, so the member neither votes nor acknowledges.
func (c *core) logFailed(err error) {
	if c.giving.err != nil {
		return
	}
	err = fmt.Errorf("the log: %w", err)
	if c.role != raft.StateLeader {
		c.stop(err)
		return
	}
	c.giving = giving{err: err, yielding: true, ticks: c.electionTicks}
	c.failWaiting(ErrNotLeader)
	c.call(func() { c.alarm(err) })
	c.transfer(raft.None)
}

// tick ends yielding when another leads or nobody took leadership in time.
func (g *giving) tick(c *core) {
	if !g.yielding {
		return
	}
	g.ticks--
	if g.ticks <= 0 || c.role != raft.StateLeader {
		c.stop(g.err)
	}
}

// stop ends the member's part in the shard: it sends, saves and applies nothing
// any more. err is nil if the owner stops it.
func (c *core) stop(err error) {
	if c.giving.stopped {
		return
	}
	told := c.giving.err != nil
	c.giving = giving{err: err, stopped: true}
	c.role, c.leader = raft.StateFollower, raft.None
	c.out.saves, c.out.work, c.out.messages, c.out.snapshots = nil, nil, nil, nil
	c.depose()
	if c.told.member != raft.None {
		c.told = leadership{raft.None, c.term}
		c.call(func() { c.events.Leader(raft.None, c.term) })
	}
	c.failAll(ErrStopped)
	if err != nil && !told {
		c.call(func() { c.alarm(err) })
	}
}

// transfer gives leadership to a member, or if that is 0 to the one that is
// furthest and heard of lately. It tells whether there is one.
func (c *core) transfer(to uint64) bool {
	if c.role != raft.StateLeader {
		return false
	}
	if to == raft.None {
		if to = c.best(nil); to == raft.None {
			return false
		}
	}
	c.node.TransferLeader(to)
	return true
}

// giveTo gives leadership to a member, or to the best if that is 0.
func (c *core) giveTo(to uint64) { c.guard(func() { c.transfer(to) }) }

// best is the voter that has most of the log of those heard of lately, that
// passes; 0 if there is none.
func (c *core) best(pass func(member uint64) bool) (to uint64) {
	var match uint64
	voters := c.node.Status().Config.Voters.IDs()
	c.node.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if _, votes := voters[id]; !votes || id == c.member || !c.hears(id, &p) {
			return
		}
		if pass != nil && !pass(id) {
			return
		}
		if to == raft.None || p.Match > match || p.Match == match && id < to {
			to, match = id, p.Match
		}
	})
	return to
}
