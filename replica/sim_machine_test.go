package replica

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// bugs are faults built in on purpose: each must be found by the simulation.
type bugs struct {
	ackBeforeSync  bool // a save is done when it is written
	voteNotStored  bool
	noHold         bool // votes at once after a torn tail
	holdTooShort   bool // it ends when the others have told
	termKept       bool // it is no reason to leave the term
	holdForgotten  bool // a start behind the one that cut the tail knows of none
	guardOff       bool // a forgetful member goes on under its old id
	passGaps       bool // a batch is applied though the one before it was not
	applyTwice     bool // batch numbers are not looked at
	staleChanges   bool // changes of another term are applied
	serveTooSoon   bool // serving begins with the election
	removeFirst    bool // a member is removed before its successor is promoted
	skipFailed     bool // an entry that cannot be applied for now is skipped
	compactTooMuch bool // the log goes before the checkpoint is there
}

// origin is who sent a batch, and which of its batches it is.
type origin struct{ member, epoch, number uint64 }

// simEntry is what the simulation's members agree on.
type simEntry struct {
	term  uint64 // that floor was made in; 0: none
	floor uint64
	parts []origin
}

func (e simEntry) encode() []byte {
	b := binary.AppendUvarint(nil, e.term)
	b = binary.AppendUvarint(b, e.floor)
	for _, p := range e.parts {
		b = binary.AppendUvarint(b, p.member)
		b = binary.AppendUvarint(b, p.epoch)
		b = binary.AppendUvarint(b, p.number)
	}
	return b
}

func decodeSimEntry(b []byte) (e simEntry) {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	e.term, e.floor = next(), next()
	for len(b) > 0 {
		e.parts = append(e.parts, origin{next(), next(), next()})
	}
	return e
}

type partStatus int

const (
	partApplied partStatus = iota
	partDuplicate
	partGap
	partOld
)

// simOutcome is what became of an entry.
type simOutcome struct {
	parts []partStatus
	moved bool // the floor is the entry's
}

// simState is what entries are applied to.
type simState struct {
	index, term uint64
	members     *pb.ConfState
	rows        map[uint64]origin // the last one applied of each member
	floor       uint64
	count       uint64 // of batches
	hash        uint64 // of all that was ever done
}

func (s simState) clone() simState {
	s.rows = maps.Clone(s.rows)
	return s
}

func (s *simState) note(values ...uint64) {
	for _, v := range values {
		s.hash = (s.hash ^ v) * 0x100000001b3
		s.hash ^= s.hash >> 29
	}
}

var errDiskFull = errors.New("no space left on device")

// simApplier is a member's machine and what can happen to it.
type simApplier interface {
	Machine
	restart()
	now() *simState // not to be changed
	row(member uint64) origin
	take(from simApplier) (*pb.SnapshotMetadata, error)
	fill(full bool)
	isFull() bool
}

// simMachine is a simState with a checkpoint: the state itself does not survive.
type simMachine struct {
	simState
	bugs       bugs
	checkpoint simState
	full       bool
}

func newSimMachine(b bugs) *simMachine {
	return &simMachine{bugs: b, simState: simState{rows: make(map[uint64]origin)}, checkpoint: simState{rows: make(map[uint64]origin)}}
}

// restart goes back to the checkpoint.
func (m *simMachine) restart() { m.simState = m.checkpoint.clone() }

func (m *simMachine) now() *simState           { return &m.simState }
func (m *simMachine) row(member uint64) origin { return m.rows[member] }
func (m *simMachine) fill(full bool)           { m.full = full }
func (m *simMachine) isFull() bool             { return m.full }

func (m *simMachine) Applied() (index, term uint64) { return m.index, m.term }
func (m *simMachine) Members() *pb.ConfState        { return m.members }
func (m *simMachine) Fatal(error) bool              { return false }

func (m *simMachine) Checkpoint() (uint64, error) {
	m.checkpoint = m.simState.clone()
	return m.index, nil
}

func (m *simMachine) SetMembers(index, term uint64, members *pb.ConfState) error {
	if index <= m.index {
		return nil
	}
	m.index, m.term, m.members = index, term, members
	for member := range m.rows {
		if !takesPart(members, member) {
			delete(m.rows, member)
		}
	}
	m.note(index, term)
	m.note(members.Voters...)
	m.note(members.Learners...)
	m.note(members.VotersOutgoing...)
	return nil
}

func (m *simMachine) Apply(index, term uint64, data []byte) (any, error) {
	if m.full && !m.bugs.skipFailed {
		return nil, errDiskFull
	}
	if index <= m.index {
		return nil, nil
	}
	m.index, m.term = index, term
	if len(data) == 0 || m.full {
		m.note(index, term)
		return nil, nil
	}
	e := decodeSimEntry(data)
	var out simOutcome
	for _, p := range e.parts {
		out.parts = append(out.parts, m.part(p))
	}
	if e.term != 0 && (e.term == term || m.bugs.staleChanges) {
		m.floor, out.moved = e.floor, true
	}
	m.note(index, term, m.floor)
	return out, nil
}

func (m *simMachine) part(p origin) partStatus {
	row := m.rows[p.member]
	if p.epoch < row.epoch || !takesPart(m.members, p.member) {
		return partOld
	}
	if p.epoch > row.epoch {
		row = origin{member: p.member, epoch: p.epoch}
	}
	switch {
	case p.number <= row.number && !m.bugs.applyTwice:
		return partDuplicate
	case p.number > row.number+1 && !m.bugs.passGaps && !m.bugs.applyTwice:
		return partGap
	}
	row.number = p.number
	m.rows[p.member] = row
	m.count++
	m.note(p.member, p.epoch, p.number)
	return partApplied
}

// takesPart tells whether somebody has any part in the set: rows of others go,
// and so nothing of them may be taken any more.
func takesPart(members *pb.ConfState, member uint64) bool {
	return slices.Contains(members.GetVoters(), member) || slices.Contains(members.GetLearners(), member) ||
		slices.Contains(members.GetVotersOutgoing(), member) || slices.Contains(members.GetLearnersNext(), member)
}

// take makes another machine's state this one's, for good.
func (m *simMachine) take(from simApplier) (*pb.SnapshotMetadata, error) {
	state := from.now()
	if m.full {
		return nil, errDiskFull
	}
	if state.index < m.index {
		return nil, errors.New("the snapshot is behind")
	}
	m.simState, m.checkpoint = state.clone(), state.clone()
	return &pb.SnapshotMetadata{Index: new(state.index), Term: new(state.term), ConfState: state.members}, nil
}
