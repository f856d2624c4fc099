package machine

import (
	"slices"

	"qmq/internal/dedup"
	"qmq/replica/entry"
	"qmq/state"
)

// shard is the replicated state: what the entries up to an index lead to.
type shard struct {
	index, term uint64
	// top is one past the highest number that was ever given or passed over, in any
	// topic: new topics begin at or above it.
	top     uint64
	level   uint64
	time    int64  // how far the shard's clock has come, ns, as entry.Entry has it; 0: it has not begun
	members []byte // as SetMembers had them; never changed in place, as ids
	ids     []uint64

	// asked are the actions of lately, in the order in which they were asked for first;
	// askedShared as topic.rowsShared.
	asked       []Asked
	askedShared bool

	st     *state.State
	topics map[uint64]*topic // by incarnation, of all of st.Topics
	names  map[string]uint64
}

// topic is a topic beside what state keeps of it.
type topic struct {
	st   *state.Topic // the one in state.State.Topics
	next uint64       // the number that the next record gets
	// messages and bytes count what was published, and what its bodies were long.
	messages, bytes uint64
	rows            []Row // ascending by member
	// A checkpoint or a snapshot reads what is shared, so it is copied before it is
	// changed: the topic's state, its rows, and of its channels, once the topic's
	// state is not shared any more, those that are listed.
	stShared, rowsShared bool
	channelsShared       map[uint64]bool
	touched              uint64 // index of the last entry that may have moved its floor

	ids     *dedup.Table // by which doubles are known; nil: none is
	span    dedup.Span   // in place of ids where the topic is frozen
	doubles uint64       // since the process began
}

// Row is up to where a member's batches for a topic are applied.
type Row struct{ Member, Epoch, Last uint64 }

func newShard() *shard {
	return &shard{st: state.New(), topics: make(map[uint64]*topic), names: make(map[string]uint64)}
}

// add makes a topic of st known by incarnation and name.
func (s *shard) add(t *topic) {
	s.topics[t.st.Incarnation] = t
	s.names[t.st.Name] = t.st.Incarnation
}

// own makes the state of a topic one that may be changed, but for its channels.
func (s *shard) own(t *topic) *state.Topic {
	if !t.stShared {
		return t.st
	}
	t.st, t.stShared = t.st.CloneApart(), false
	s.st.Topics[t.st.Incarnation] = t.st
	t.channelsShared = make(map[uint64]bool, len(t.st.Channels))
	for id := range t.st.Channels {
		t.channelsShared[id] = true
	}
	return t.st
}

// ownChannel makes the state of a channel one that may be changed, as its topic's.
func (s *shard) ownChannel(t *topic, id uint64) {
	st := s.own(t)
	if c := st.Channels[id]; c != nil && t.channelsShared[id] {
		st.Channels[id] = c.Clone()
		delete(t.channelsShared, id)
	}
}

// row is that of a member; of one that there is none of it is empty.
func (t *topic) row(member uint64) Row {
	for _, r := range t.rows {
		if r.Member == member {
			return r
		}
	}
	return Row{Member: member}
}

func (t *topic) setRow(r Row) {
	if t.rowsShared {
		t.rows, t.rowsShared = slices.Clone(t.rows), false
	}
	i, found := slices.BinarySearchFunc(t.rows, r, func(a, b Row) int { return compare(a.Member, b.Member) })
	if found {
		t.rows[i] = r
		return
	}
	t.rows = slices.Insert(t.rows, i, r)
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// judge says what is to become of a batch. Only what follows the last one is
// applied: whoever passed a gap over could never tell what comes late from what
// comes again.
func (r Row) judge(o entry.Origin) Status {
	last := r.Last
	if o.Epoch > r.Epoch {
		last = 0
	}
	switch {
	case o.Epoch < r.Epoch:
		return OldEpoch
	case o.Number <= last:
		return Duplicate
	case o.Number == last+1:
		return Applied
	}
	return Gap
}

// setMembers notes who the members are, and drops the rows of others.
func (s *shard) setMembers(members []byte, ids []uint64) {
	s.members, s.ids = slices.Clone(members), slices.Clone(ids)
	stranger := func(r Row) bool { return !s.isMember(r.Member) }
	for _, t := range s.topics {
		if slices.ContainsFunc(t.rows, stranger) {
			t.rows, t.rowsShared = slices.DeleteFunc(slices.Clone(t.rows), stranger), false
		}
	}
}

// isMember says whether a member's parts are applied: of one that was removed there
// is no row left to tell what comes again. Before members are set all are.
func (s *shard) isMember(id uint64) bool { return len(s.ids) == 0 || slices.Contains(s.ids, id) }

// jump makes every topic go on at a number, or behind its end where that is above
// it. What is passed over is void.
func (s *shard) jump(j entry.Jump) {
	for _, t := range s.topics {
		to := max(j.Number, t.next+1)
		s.own(t).Voids = addVoid(t.st.Voids, t.next, to)
		t.next = to
		t.st.PruneVoids(t.st.Kept())
		s.top = max(s.top, to)
	}
	s.top = max(s.top, j.Number)
	s.st.MaxIncarnation = max(s.st.MaxIncarnation, j.Incarnation)
}

// frozen is the replicated state at one moment, for readers.
type frozen struct {
	shard  shard // without its maps
	topics []topic
	most   uint64 // highest incarnation
}

// freeze is the state of this moment: what changes later is changed in copies.
// The caller holds Machine.mu.
func (s *shard) freeze() *frozen {
	s.askedShared = true
	f := &frozen{shard: *s, topics: make([]topic, 0, len(s.topics)), most: s.st.MaxIncarnation}
	f.shard.st, f.shard.topics, f.shard.names = nil, nil, nil
	for _, t := range s.topics {
		t.stShared, t.rowsShared = true, true
		f.topics = append(f.topics, *t)
		if t.ids != nil {
			last := &f.topics[len(f.topics)-1]
			last.ids, last.span = nil, t.ids.Span(0)
		}
	}
	return f
}
