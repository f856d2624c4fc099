package machine

import (
	"errors"
	"fmt"
	"path/filepath"

	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/internal/seqset"
)

// Each replica gives segments up for itself, by what is applied alone: what a
// leader knows and no entry says may still be asked of the next one. Nobody is
// told: a log that is opened again lacks what the floors of then did not cover
// only until the entries that moved them are applied again. What is retained stays on
// all of them, see retain.go.

// reclaimOf gives up what lies below the floors of topics, but while a segment is mended.
// The applying goroutine calls it.
func (m *Machine) reclaimOf(touched []*topic) {
	for _, t := range touched {
		tl := m.logs[t.st.Incarnation]
		if tl == nil || m.s.topics[t.st.Incarnation] != t {
			continue // it was deleted by the same entry
		}
		log := tl.opened()
		if log == nil {
			continue
		}
		if kept := t.st.Kept(); log.ReclaimAt() <= kept && !m.mending.Load() {
			m.reclaiming.Lock()
			m.remove(log, log.DetachBelow(kept))
			m.reclaiming.Unlock()
		}
	}
}

// remove removes the files of segments in the background.
func (m *Machine) remove(log *diskqueue.Log, list []diskqueue.Detached) {
	if len(list) > 0 {
		m.run(func() { log.RemoveFiles(list) })
	}
}

// idleBytes is how much the segment that is appended to holds, at least, to be
// ended when everything in the log is finished.
const idleBytes = 1 << 20

// Reclaim gives up segments of which nobody owes anything and that are not retained,
// wherever they lie, also the last ones where all is finished. A checkpoint does it too; whoever needs
// room calls it before.
func (m *Machine) Reclaim() {
	m.mu.Lock()
	ids := make([]uint64, 0, len(m.logs))
	for id := range m.logs {
		ids = append(ids, id)
	}
	m.mu.Unlock()
	for _, id := range ids {
		m.reclaimTopic(id)
	}
}

func (m *Machine) reclaimTopic(incarnation uint64) {
	m.mu.Lock()
	tl := m.logs[incarnation]
	m.mu.Unlock()
	if tl == nil {
		return
	}
	log := tl.opened()
	if log == nil {
		return
	}
	m.reclaiming.Lock()
	defer m.reclaiming.Unlock()
	var finished []seqset.Range
	extents := log.Extents()
	for i, e := range extents {
		if m.keeps(incarnation, e.Numbers) {
			continue
		}
		if last := i == len(extents)-1; last && !e.Full && e.Bytes >= idleBytes {
			log.EndSegment()
		}
		finished = append(finished, e.Numbers)
	}
	m.remove(log, log.Detach(finished))
}

// keeps says whether any of the messages of r is retained, or is owed by a topic that
// is there, or may be.
func (m *Machine) keeps(incarnation uint64, r seqset.Range) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.s.topics[incarnation]
	return t == nil || t.st.Retained != 0 && r.To > t.st.Retained || t.owes(r)
}

// owes says whether the topic owes any of the messages of r, or may.
func (t *topic) owes(r seqset.Range) bool { return r.To > t.next || len(t.st.Owed(nil, r, 1)) > 0 }

// TellMissing tells as Findings what is missing and was not told yet, as a checkpoint
// does, however little is applied. It is called when what was committed at the start is
// applied.
func (m *Machine) TellMissing() {
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	m.tellMissing()
}

// tellMissing tells what is missing, once. The caller holds m.checkpointing.
func (m *Machine) tellMissing() {
	for _, x := range m.Missing() {
		for _, r := range x.Numbers {
			key := fmt.Sprintf("%016x %d %d", x.Incarnation, r.From, r.To)
			if m.missed[key] || m.o.Found == nil {
				continue
			}
			m.missed[key] = true
			dir := filepath.Join(m.topicsDir(), names.Dir(x.Topic, x.Incarnation))
			m.o.Found(Finding{x.Topic, x.Incarnation, diskqueue.Finding{Kind: diskqueue.Missing, Path: dir, Range: r, Err: errMissing}})
		}
	}
}

var errMissing = errors.New("no segment here holds them, and they are owed")

// Missing is messages of a topic that are owed and that no segment here holds.
type Missing struct {
	Topic       string
	Incarnation uint64
	Numbers     []seqset.Range
}

// Missing lists what is missing here. After a start it means something once what
// was committed by then is applied: from the second checkpoint on it is told as
// Findings.
func (m *Machine) Missing() (list []Missing) {
	for name, id := range m.Topics() {
		v, err := m.Topic(id)
		if err != nil {
			continue // it cannot be opened, which is worse, or is gone
		}
		var numbers []seqset.Range
		for _, gap := range v.Log.Gaps(v.State.Floor(), v.Next) {
			numbers = v.State.Owed(numbers, gap, maxOwed)
		}
		v.Release()
		if numbers = seqset.Difference(numbers, v.State.Voids); len(numbers) > 0 {
			list = append(list, Missing{name, id, numbers})
		}
	}
	return list
}
