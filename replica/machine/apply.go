package machine

import (
	"fmt"
	"slices"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
)

// Apply applies the entry of an index, one above the last, that is committed; an
// empty one only takes its place. When it returns an error nothing of the entry
// counts. It is applied again until it succeeds, unless the error wraps
// entry.ErrUnknownEntry or entry.ErrMalformed: that shard cannot go on here.
func (m *Machine) Apply(index, term uint64, data []byte) (Outcome, error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	out := Outcome{Index: index, Term: term}
	again, err := m.follows(index)
	if again || err != nil {
		out.Repeated = again
		return out, err
	}
	if len(data) == 0 {
		m.advance(index, term, func() {})
		return out, nil
	}
	e, err := entry.Decode(data)
	if err != nil {
		return Outcome{}, fmt.Errorf("shard %d, entry %d: %w", m.o.Shard, index, err)
	}
	p, err := m.plan(e)
	defer m.raw.reset()
	if err != nil {
		return Outcome{}, fmt.Errorf("shard %d, entry %d: %w", m.o.Shard, index, err)
	}
	if err := m.write(p); err != nil {
		return Outcome{}, fmt.Errorf("shard %d, entry %d: %w", m.o.Shard, index, err)
	}
	out.StaleTerm = e.Term != 0 && e.Term != term && e.Serves()
	m.advance(index, term, func() { m.commit(p, &out) })
	m.sweepDoomed()
	m.reclaimOf(p.touched)
	return out, nil
}

// SetMembers takes the index of an entry that changes the shard's members, and
// keeps what it is told of them for Members. The rows of those whose ids are not
// given go, and none of their parts is applied any more.
func (m *Machine) SetMembers(index, term uint64, members []byte, ids []uint64) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if again, err := m.follows(index); again || err != nil {
		return err
	}
	m.advance(index, term, func() { m.s.setMembers(members, ids) })
	return nil
}

// follows says whether the entry of an index was applied before; the error is
// that it does not follow the last one, or that none may be applied now. Otherwise
// logs have what counts alone when it returns, and it may be applied.
func (m *Machine) follows(index uint64) (again bool, err error) {
	if again, err = m.compare(index); !again && err == nil {
		m.dropLeft()
	}
	return again, err
}

func (m *Machine) compare(index uint64) (again bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.unsure:
		err = errUnsure
	case m.installing:
		err = errInstalling
	case index > m.s.index+1:
		err = fmt.Errorf("entry %d does not follow %d", index, m.s.index)
	}
	if err != nil {
		return false, fmt.Errorf("shard %d: %w", m.o.Shard, err)
	}
	return index <= m.s.index, nil
}

// advance makes a change of the state together with the index that it is of.
func (m *Machine) advance(index, term uint64, change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	m.s.index, m.s.term = index, term
}

// plan is what applying an entry will do, all of which is known beforehand but
// whether the disk takes it.
type plan struct {
	entry   *entry.Entry
	parts   []plannedPart
	writes  []topicWrite
	rows    []plannedRow
	changes []state.ChannelChanges
	touched []*topic // whose floors may have moved
	ids     []plannedID
	known   map[idOfTopic]int64 // those of ids, and when each came last
	time    int64               // the shard's, once it is applied
}

type plannedPart struct {
	status Status
	first  uint64           // number of its first record, if it is applied
	batch  *diskqueue.Batch // likewise, without its doubles
	double []int            // which these are
}

// topicWrite is what a topic's log gets.
type topicWrite struct {
	t           *topic
	first, next uint64
	batches     []*diskqueue.Batch
}

type plannedRow struct {
	t *topic
	Row
}

// plan looks at what an entry asks for. It changes nothing.
func (m *Machine) plan(e *entry.Entry) (*plan, error) {
	p := &plan{entry: e, parts: make([]plannedPart, len(e.Parts)), time: max(m.s.time, e.Time)}
	for i := range e.Parts {
		if err := m.planPart(p, i); err != nil {
			return nil, err
		}
	}
	for _, record := range e.Changes {
		ch, err := m.raw.decoder(len(record)).Changes(record)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", entry.ErrMalformed, err)
		}
		ch.Acked, ch.Open = slices.Clone(ch.Acked), slices.Clone(ch.Open)
		p.changes = append(p.changes, ch)
	}
	return p, nil
}

func (m *Machine) planPart(p *plan, i int) error {
	part, planned := &p.entry.Parts[i], &p.parts[i]
	t := m.s.topics[part.Topic]
	if t == nil {
		planned.status = NoTopic
		return nil
	}
	if !m.s.isMember(part.Origin.Member) {
		planned.status = Gap
		return nil
	}
	row := p.row(t, part.Origin.Member)
	if planned.status = row.judge(part.Origin); planned.status != Applied {
		return nil
	}
	planned.batch = m.raw.batch(i)
	if err := part.ParseInto(planned.batch); err != nil {
		return err
	}
	w := p.writeOf(t)
	planned.double = p.dropDoubles(t, planned.batch)
	planned.first = w.next
	w.next += uint64(planned.batch.Len())
	if w.next > message.MaxSeq {
		return fmt.Errorf("topic %q has no numbers left", t.st.Name)
	}
	w.batches = append(w.batches, planned.batch)
	p.rows = append(p.rows, plannedRow{t, Row{part.Origin.Member, part.Origin.Epoch, part.Origin.Number}})
	return nil
}

// row is a member's row once what is planned is done.
func (p *plan) row(t *topic, member uint64) Row {
	for i := len(p.rows) - 1; i >= 0; i-- {
		if r := &p.rows[i]; r.t == t && r.Member == member {
			return r.Row
		}
	}
	return t.row(member)
}

func (p *plan) writeOf(t *topic) *topicWrite {
	for i := range p.writes {
		if p.writes[i].t == t {
			return &p.writes[i]
		}
	}
	p.writes = append(p.writes, topicWrite{t: t, first: t.next, next: t.next})
	return &p.writes[len(p.writes)-1]
}

// write gives the logs what they get, unless they are at rest. What one has from an earlier try, or from
// one before the last stop that was not undone, it does not get again.
func (m *Machine) write(p *plan) error {
	if m.atRest {
		return nil
	}
	for i := range p.writes {
		w := &p.writes[i]
		if w.next == w.first {
			continue
		}
		log, err := m.logs[w.t.st.Incarnation].open(m, w.first)
		if err != nil {
			return err
		}
		if log.End() < w.first {
			if err := log.Jump(w.first); err != nil {
				return err
			}
		}
		if _, err := log.AppendAt(w.first, w.batches); err != nil {
			return fmt.Errorf("topic %q: %w", w.t.st.Name, err)
		}
	}
	return nil
}

// commit makes what was planned and written the state. It cannot fail. The caller
// holds m.mu.
func (m *Machine) commit(p *plan, out *Outcome) {
	if m.s.time = p.time; p.entry.Time != 0 {
		out.Time = p.time
	}
	m.commitParts(p, out)
	if !out.StaleTerm {
		m.commitChanges(p)
		for _, e := range p.entry.Topology {
			out.Topology = append(out.Topology, m.commitTopology(p, e))
		}
		if a := p.entry.Action; a != nil {
			m.s.noteDone(a, out.Topology)
		}
	}
	if j := p.entry.Jump; j != (entry.Jump{}) {
		m.s.jump(j)
		out.Jumped = true
		for id, t := range m.s.topics {
			m.logs[id].jump(t.next)
		}
	}
	m.s.level = max(m.s.level, p.entry.Level)
}

func (m *Machine) commitParts(p *plan, out *Outcome) {
	if len(p.parts) > 0 {
		out.Parts = make([]PartOutcome, len(p.parts))
	}
	for i := range p.parts {
		part, planned := &p.entry.Parts[i], &p.parts[i]
		o := &out.Parts[i]
		*o = PartOutcome{Topic: part.Topic, Origin: part.Origin, Status: planned.status}
		if planned.status == Applied {
			end := planned.first + uint64(planned.batch.Len())
			o.Added = diskqueue.Appended{First: planned.first, End: end, Marks: planned.batch.Marks(planned.first), Only: planned.batch.Only(planned.first)}
			o.Bytes = uint64(planned.batch.BodyBytes())
			t := m.s.topics[part.Topic]
			t.messages, t.bytes = t.messages+uint64(planned.batch.Len()), t.bytes+o.Bytes
			o.Doubles = planned.double
			t.doubles += uint64(len(o.Doubles))
		}
	}
	p.commitIDs()
	for i := range p.rows {
		p.rows[i].t.setRow(p.rows[i].Row)
	}
	for i := range p.writes {
		w := &p.writes[i]
		w.t.next = w.next
		m.s.top = max(m.s.top, w.next)
	}
}

func (m *Machine) commitChanges(p *plan) {
	for _, ch := range p.changes {
		t := m.s.topics[ch.Topic]
		if t == nil || t.st.Channels[ch.Channel] == nil {
			continue // deleted
		}
		m.s.ownChannel(t, ch.Channel)
		m.s.st.ApplyChanges(ch)
		p.touch(t, m.s.index)
	}
}

// touch notes a topic whose floor may have moved, once: index is of the entry
// before.
func (p *plan) touch(t *topic, index uint64) {
	if t.touched != index+1 {
		t.touched = index + 1
		p.touched = append(p.touched, t)
	}
}

func (m *Machine) commitTopology(p *plan, e state.Entry) TopologyOutcome {
	o := m.s.changeTopology(e)
	if o.Result != Done {
		return o
	}
	id := o.Entry.Topic
	switch o.Entry.Op {
	case state.CreateTopic:
		m.logs[id] = newTopicLog(m.s.topics[id].st)
	case state.DeleteTopic:
		m.doomed = append(m.doomed, m.logs[id])
		delete(m.logs, id)
	default:
		m.s.topics[id].boundIDs(o.Entry, p.time)
		p.touch(m.s.topics[id], m.s.index)
	}
	return o
}

// rawEntry is what applying entries needs again and again.
type rawEntry struct {
	batches []*diskqueue.Batch
	used    int // of the batches
	changes *state.Decoder
}

// keepRaw is how many batches stay for the next entry, and keepChanges the size
// of the largest record that a decoder decodes that stays.
const (
	keepRaw     = 256
	keepChanges = 64 << 10
)

// batch is the i-th, empty.
func (r *rawEntry) batch(i int) *diskqueue.Batch {
	for len(r.batches) <= i {
		r.batches = append(r.batches, new(diskqueue.Batch))
	}
	r.used = max(r.used, i+1)
	return r.batches[i]
}

// decoder is for a record of a size.
func (r *rawEntry) decoder(size int) *state.Decoder {
	if size > keepChanges {
		return state.NewDecoder()
	}
	if r.changes == nil {
		r.changes = state.NewDecoder()
	}
	return r.changes
}

// reset lets go of the entry's memory.
func (r *rawEntry) reset() {
	for _, b := range r.batches[:r.used] {
		b.Reset()
	}
	r.used = 0
	if n := len(r.batches); n > keepRaw {
		clear(r.batches[keepRaw:])
		r.batches = r.batches[:keepRaw]
	}
}

// addVoid adds [from, to) to a list of voids that others may read.
func addVoid(list []seqset.Range, from, to uint64) []seqset.Range {
	return seqset.Union(list, []seqset.Range{{From: from, To: to}})
}
