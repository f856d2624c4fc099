package replica

import (
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// hold keeps a member whose log lost its end from doing harm. What was cut may
// have been acknowledged, entries and votes, and gone bad since. Nobody knows
// what it was, but as long as its other copy lives, somebody else has it: so the
// member first asks every other voter for its term and the end of its log, and
// takes no part at all until each has told or was silent for its timeout.
//
// What it promised, it promised in no higher term than it is told of: it goes on
// in the next one, where nobody relies on what it said before. What it
// acknowledged is in a log that ends no earlier than the furthest it is told of:
// until its own is there it stands only behind nobody, and votes only for who is
// behind nobody. It goes on asking, and forgets who is silent for its timeout.
type hold struct {
	on      bool
	asking  bool // takes no part yet
	timeout int  // in ticks
	now     int  // ticks since the start
	told    map[uint64]told
}

// told is what a voter says of itself.
type told struct {
	term uint64
	end  position
	at   int
}

// position is an entry's. Of two logs the one that ends at the greater position
// has all of the other that is committed.
type position struct{ term, index uint64 }

func (p position) before(o position) bool {
	return p.term < o.term || p.term == o.term && p.index < o.index
}

// rollCall marks what a held member asks, and the answers: a pre-vote that is
// none. raft never sees them.
const rollCall = "RollCall"

// newHold is none for no timeout.
func newHold(timeout int) hold {
	return hold{on: timeout > 0, asking: timeout > 0, timeout: timeout, told: make(map[uint64]told)}
}

// holdTick tells whether raft's clock stands still.
func (c *core) holdTick() bool {
	h := &c.hold
	if !h.on {
		return false
	}
	h.now++
	c.review()
	if h.on && h.now%c.heartbeatTicks == 0 {
		c.ask()
	}
	return h.asking
}

// ask asks every voter but this one.
func (c *core) ask() {
	for _, id := range c.voters() {
		c.out.messages = append(c.out.messages, &pb.Message{
			Type: pb.MsgPreVote.Enum(), Context: []byte(rollCall), From: new(c.member), To: new(id), Term: new(c.term),
		})
	}
}

// voters are the others, as far as this member knows.
func (c *core) voters() []uint64 {
	ids := c.node.Status().Config.Voters.IDs()
	delete(ids, c.member)
	return slices.Sorted(maps.Keys(ids))
}

// calls answers a roll call, or takes an answer; false: the message is none.
func (c *core) calls(m *pb.Message) bool {
	if string(m.GetContext()) != rollCall {
		return false
	}
	if m.GetType() == pb.MsgPreVote {
		c.out.messages = append(c.out.messages, &pb.Message{
			Type: pb.MsgPreVoteResp.Enum(), Context: []byte(rollCall), Reject: new(true), From: new(c.member), To: new(m.GetFrom()),
			Term: new(c.term), LogTerm: new(c.last.term), Index: new(c.last.index),
		})
	} else if c.hold.on {
		c.hold.told[m.GetFrom()] = told{m.GetTerm(), position{m.GetLogTerm(), m.GetIndex()}, c.hold.now}
		c.review()
	}
	return true
}

// review ends the asking when every voter has told or was silent for too long,
// and the hold when nothing can be missing.
func (c *core) review() {
	h := &c.hold
	if h.asking {
		for _, id := range c.voters() {
			if _, known := h.told[id]; !known && h.now < h.timeout {
				return
			}
		}
		h.asking = false
		c.leaveTerm()
	}
	h.on = c.durable.before(c.furthest())
}

// leaveTerm goes on in a term that nobody told of, as if a voter had refused
// this member in it. Who leads in the one before believes this log to have what
// it may have lost.
func (c *core) leaveTerm() {
	voters := c.voters()
	if len(voters) == 0 {
		return
	}
	term := c.term
	for _, id := range voters {
		term = max(term, c.hold.told[id].term)
	}
	refusal := &pb.Message{Type: pb.MsgPreVoteResp.Enum(), Reject: new(true), From: new(voters[0]), To: new(c.member), Term: new(term + 1)}
	if err := c.node.Step(refusal); err != nil {
		panic("a term of its own: " + err.Error())
	}
}

// furthest is the greatest position that a voter told of lately.
func (c *core) furthest() (p position) {
	for _, id := range c.voters() {
		if t, known := c.hold.told[id]; known && c.hold.now-t.at < c.hold.timeout && p.before(t.end) {
			p = t.end
		}
	}
	return p
}

// abstains tells whether a message goes unanswered because of the hold.
func (c *core) abstains(m *pb.Message) bool {
	switch {
	case !c.hold.on:
		return false
	case c.hold.asking:
		return true
	}
	switch m.GetType() {
	case pb.MsgVote, pb.MsgPreVote:
		return position{m.GetLogTerm(), m.GetIndex()}.before(c.furthest())
	case pb.MsgVoteResp, pb.MsgPreVoteResp:
		return !m.GetReject() && c.last.before(c.furthest())
	case pb.MsgTimeoutNow:
		return true
	}
	return false
}
