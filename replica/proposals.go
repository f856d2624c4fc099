package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

const (
	// maxProposedBytes are in the log and not applied, unless one is larger.
	maxProposedBytes = 16 << 20
	// maxWaitingBytes wait behind them; more are refused.
	maxWaitingBytes = 64 << 20
)

// proposal is an entry that somebody waits for.
type proposal struct {
	data   []byte
	own    bool             // see ProposeOwn
	change *pb.ConfChangeV2 // of the members, instead of data
	done   func(outcome any, err error)

	index, term uint64 // where it is in the log, once proposed
}

// proposals are those whose fate is not known.
type proposals struct {
	waiting       []*proposal // not in the log
	waitingBytes  int
	proposed      []*proposal // in the log, by index
	proposedBytes int
}

// propose queues a proposal. It is put in the log by the next flush, or when
// there is room and no transfer of leadership is under way.
func (c *core) propose(p *proposal) {
	if c.proposals.waitingBytes+len(p.data) > maxWaitingBytes {
		c.flush() // there may be room in the log
	}
	switch {
	case c.giving.stopped:
		c.fail(p, ErrStopped)
	case c.role != raft.StateLeader || c.giving.yielding:
		c.fail(p, ErrNotLeader)
	case c.proposals.waitingBytes+len(p.data) > maxWaitingBytes && len(c.proposals.waiting) > 0:
		c.fail(p, ErrBusy)
	default:
		if p.change != nil {
			if err := c.checkChange(p.change); err != nil {
				c.fail(p, err)
				return
			}
		}
		c.proposals.waiting = append(c.proposals.waiting, p)
		c.proposals.waitingBytes += len(p.data)
	}
}

// flush puts in the log what was proposed since the last event.
func (c *core) flush() {
	if len(c.proposals.waiting) > 0 {
		c.guard(func() {})
	}
}

func (c *core) fail(p *proposal, err error) { c.call(func() { p.done(nil, err) }) }

// proposeWaiting puts waiting proposals in the log as far as there is room. It
// is called when all that raft has ready is accepted, so that c.last is the
// log's last entry. It tells whether it proposed any.
func (c *core) proposeWaiting() bool {
	ps := &c.proposals
	any := false
	for len(ps.waiting) > 0 && c.role == raft.StateLeader {
		p := ps.waiting[0]
		if ps.proposedBytes > 0 && ps.proposedBytes+len(p.data) > maxProposedBytes {
			break
		}
		err := c.proposeOne(p)
		if errors.Is(err, raft.ErrProposalDropped) {
			break // leadership is being transferred: later, or not at all
		}
		if err != nil {
			panic(fmt.Sprintf("propose: %v", err))
		}
		c.last = position{c.term, c.last.index + 1}
		p.index, p.term = c.last.index, c.last.term
		ps.waiting[0] = nil
		ps.waiting = ps.waiting[1:]
		ps.waitingBytes -= len(p.data)
		ps.proposed = append(ps.proposed, p)
		ps.proposedBytes += len(p.data)
		any = true
	}
	return any
}

func (c *core) proposeOne(p *proposal) error {
	if p.change != nil {
		return c.node.ProposeConfChange(p.change)
	}
	return c.node.Propose(p.data)
}

// resolveProposals decides the fate of proposals, now that an entry is applied. Terms
// never fall along the log, so one of an older term that was not applied before
// never will be.
func (c *core) resolveProposals(a Applied, change bool) {
	ps := &c.proposals
	for len(ps.proposed) > 0 {
		p := ps.proposed[0]
		switch {
		case p.index == a.Index && p.term == a.Term && p.change != nil && !change:
			c.fail(p, ErrRefused) // raft put an empty entry in its place
		case p.index == a.Index && p.term == a.Term:
			c.call(func() { p.done(a.Outcome, nil) })
		case p.index <= a.Index || p.term < a.Term:
			c.fail(p, ErrLost)
		default:
			return
		}
		c.dropProposed()
	}
}

// passed decides the fate of proposals that a snapshot covers.
func (c *core) passed(index, term uint64) {
	ps := &c.proposals
	for len(ps.proposed) > 0 {
		switch p := ps.proposed[0]; {
		case p.index <= index:
			c.fail(p, ErrUnknown)
		case p.term < term:
			c.fail(p, ErrLost)
		default:
			return
		}
		c.dropProposed()
	}
}

func (c *core) dropProposed() {
	ps := &c.proposals
	ps.proposedBytes -= len(ps.proposed[0].data)
	ps.proposed[0] = nil
	ps.proposed = ps.proposed[1:]
}

// failWaiting refuses what is not in the log.
func (c *core) failWaiting(err error) {
	ps := &c.proposals
	for _, p := range ps.waiting {
		c.fail(p, err)
	}
	ps.waiting, ps.waitingBytes = nil, 0
}

// failAll ends the wait for all proposals.
func (c *core) failAll(err error) {
	ps := &c.proposals
	for _, p := range ps.proposed {
		c.fail(p, err)
	}
	ps.proposed, ps.proposedBytes = nil, 0
	c.failWaiting(err)
}
