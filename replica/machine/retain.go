package machine

import (
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/state"
)

// Where a topic's settings say so, what all have finished is kept for a while. Replicas
// differ in their clocks and in where their segments end, so the leader alone decides
// where what is kept begins, and has that agreed on: state.Topic.Retained. Every replica
// keeps all from there on, whoever has finished it, and a snapshot carries it, so that
// any later leader has what was promised. Of what lies before, it gives up what nobody
// owes, as ever.

// Retention is how much of what is finished is kept. Without either it is nothing.
type Retention struct {
	Time  time.Duration // since its publish; 0: whatever its age
	Bytes int64         // of segments; 0: however many
}

// RetainFrom is where what is kept of a topic should begin by now, ns since 1970; 0:
// nothing is kept. change says that this is not what is agreed on. What is kept goes
// by whole segments: it is a segment more than it may be, at most, and the one that is
// written to stays as long as its time lets it. The error is ErrNoTopic or one of the
// file system.
func (m *Machine) RetainFrom(incarnation uint64, keep Retention, now int64) (from uint64, change bool, err error) {
	m.mu.Lock()
	t := m.s.topics[incarnation]
	if t == nil || m.unseen() {
		m.mu.Unlock()
		return 0, false, ErrNoTopic
	}
	was, floor, next, tl := t.st.Retained, t.st.Floor(), t.next, m.logs[incarnation]
	tl.users++
	m.mu.Unlock()
	defer m.release(tl)
	switch {
	case keep == Retention{}:
		return 0, was != 0, nil
	case was == 0:
		return max(1, min(floor, next)), true, nil
	}
	log, err := tl.open(m, next)
	if err != nil {
		return 0, false, err
	}
	from = m.retire(incarnation, log, was, keep, now)
	return from, from != was, nil
}

// Retained are the topics of which something is kept though it is finished.
func (m *Machine) Retained() (topics []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, t := range m.s.topics {
		if t.st.Retained != 0 {
			topics = append(topics, id)
		}
	}
	return topics
}

// Unretained is from where on something could be kept if nothing of what is finished was.
func (m *Machine) Unretained(incarnation uint64) (from uint64, change bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.s.topics[incarnation]
	if t == nil || t.st.Retained == 0 {
		return 0, false
	}
	return t.next, t.st.Retained < t.next
}

// retire moves a position past the segments that are finished and not kept any more, the
// oldest first.
func (m *Machine) retire(incarnation uint64, log *diskqueue.Log, from uint64, keep Retention, now int64) uint64 {
	finished, bytes := m.finishedFrom(incarnation, log, from)
	reader := log.NewReader()
	defer reader.Release()
	for _, e := range finished {
		tooMuch := e.Full && keep.Bytes > 0 && bytes > keep.Bytes
		if !tooMuch && (keep.Time == 0 || now < published(reader, e.Numbers, now)+int64(keep.Time)) {
			break
		}
		from = e.Numbers.To
		bytes -= e.Bytes
	}
	return from
}

// finishedFrom lists the segments behind a position of which nobody owes anything, with
// how many bytes those have that are full.
func (m *Machine) finishedFrom(incarnation uint64, log *diskqueue.Log, from uint64) (list []diskqueue.Extent, bytes int64) {
	for _, e := range log.Extents() {
		if e.Numbers.To <= from || m.owesOf(incarnation, e.Numbers) {
			continue
		}
		list = append(list, e)
		if e.Full {
			bytes += e.Bytes
		}
	}
	return list, bytes
}

func (m *Machine) owesOf(incarnation uint64, r seqset.Range) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.s.topics[incarnation]
	return t == nil || t.owes(r)
}

// published is when the last message of a segment was, ns since 1970; where that cannot
// be read it was just now.
func published(reader *diskqueue.Reader, numbers seqset.Range, now int64) int64 {
	v, err := reader.Read(numbers.To - 1)
	if err != nil {
		return now
	}
	return v.Timestamp
}

// retain makes the change of a RetainFrom entry. Where nothing was kept until now,
// replicas may have given up what everybody has finished: it is void.
func (s *shard) retain(t *topic, e state.Entry) TopologyOutcome {
	var gone []seqset.Range
	switch {
	case e.Start == 0:
	case t.st.Retained == 0:
		e.Start = min(max(e.Start, t.st.Floor()), t.next)
		gone = t.gone(e.Start)
	default:
		e.Start = min(max(e.Start, t.st.Retained), t.next)
	}
	s.apply(t, e)
	s.void(t, gone)
	return TopologyOutcome{Entry: e, Result: Done}
}
