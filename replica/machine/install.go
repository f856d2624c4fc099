package machine

import (
	"errors"
	"fmt"
	"path/filepath"

	"qmq/diskqueue"
	"qmq/internal/names"
)

var (
	errInstalling = errors.New("a snapshot is being installed")
	errServed     = errors.New("topics are in use")
	errDiverged   = errors.New("this node has more of a topic than the snapshot")
)

// Install takes the place of a machine's state, with what a Snapshot tells. Records
// go behind those that are there, where they do not count until the new state has
// its checkpoint: whatever stops it before leaves the old state, and after it the
// new one. It is of the goroutine that applies.
type Install struct {
	m      *Machine
	l      *loader
	logs   map[uint64]*topicLog // of all topics of the new state
	fresh  []*topicLog          // those of them that the old one does not have
	batch  diskqueue.Batch
	closed bool
}

// Install begins to take in a snapshot that was made for the machine's Ends.
// Nothing is applied until Commit or Abort, one of which has to follow. No view
// may be held.
func (m *Machine) Install() (*Install, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.installing {
		return nil, errInstalling
	}
	for _, tl := range m.logs {
		if tl.users > 0 {
			return nil, fmt.Errorf("topic %q: %w", tl.name, errServed)
		}
	}
	m.installing = true
	return &Install{m: m, l: newLoader(m.o.Shard), logs: make(map[uint64]*topicLog)}, nil
}

// Put takes a frame of the snapshot in. After an error only Abort is left.
func (i *Install) Put(frame []byte) error {
	payload, err := payloadOf(frame, 0)
	if err != nil {
		return err
	}
	if payload[0] == frameRecords {
		i.l.frames++
		return i.records(numberReader{b: payload[1:]})
	}
	return i.l.take(payload)
}

// records appends records behind what the log has.
func (i *Install) records(r numberReader) error {
	id, first := r.next(), r.next()
	if i.l.s == nil || i.l.ended || i.l.s.topics[id] == nil {
		return fmt.Errorf("%w: records of no topic", errFrame)
	}
	t := i.l.s.topics[id]
	if err := i.batch.ParseRecords(r.b); err != nil || r.failed {
		return fmt.Errorf("%w: records of topic %q: %w", errFrame, t.st.Name, err)
	}
	defer i.batch.Reset()
	if n := uint64(i.batch.Len()); first == 0 || first > t.next || n > t.next-first {
		return fmt.Errorf("%w: records %d to %d of topic %q, which ends at %d", errFrame, first, first+n, t.st.Name, t.next)
	}
	log, err := i.log(t)
	if err != nil {
		return err
	}
	if log.End() < first {
		if err := log.Jump(first); err != nil {
			return err
		}
	}
	_, err = log.AppendAt(first, []*diskqueue.Batch{&i.batch})
	return err
}

// log is that of a topic of the new state. Where a former try has left more in it
// than counts, that is cut off.
func (i *Install) log(t *topic) (*diskqueue.Log, error) {
	id := t.st.Incarnation
	if tl := i.logs[id]; tl != nil {
		return tl.open(i.m, t.st.Start)
	}
	old := i.m.s.topics[id]
	if old == nil {
		tl := newTopicLog(t.st)
		i.logs[id] = tl
		i.fresh = append(i.fresh, tl)
		return tl.open(i.m, max(1, t.st.Start))
	}
	if old.next > t.next {
		return nil, fmt.Errorf("topic %q: %w: %d, not %d", t.st.Name, errDiverged, old.next, t.next)
	}
	tl := i.m.logs[id]
	i.logs[id] = tl
	if log := tl.opened(); log != nil && log.End() != old.next {
		tl.discard()
	}
	return tl.open(i.m, old.next)
}

// Commit makes the snapshot the state, for good: its checkpoint is the newest one.
// Its index is that of the raft log to begin behind. After an error only Abort is
// left.
func (i *Install) Commit() error {
	if !i.l.ended {
		return fmt.Errorf("%w: its end is missing", errFrame)
	}
	m, s := i.m, i.l.s
	if s.index < m.s.index {
		return fmt.Errorf("%w: it is of index %d, and %d is applied", errDiverged, s.index, m.s.index)
	}
	if err := i.settle(); err != nil {
		return err
	}
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	if err := m.save(s.freeze()); err != nil {
		return err
	}
	m.mu.Lock()
	for id, tl := range m.logs {
		if i.logs[id] == nil {
			m.doomed = append(m.doomed, tl)
		}
	}
	m.s, m.logs, m.installing = s, i.logs, false
	m.mu.Unlock()
	i.closed = true
	m.sweepDoomed()
	m.Reclaim()
	return nil
}

// settle makes all logs end where the new state says, and has them survive.
func (i *Install) settle() error {
	for _, t := range i.l.s.topics {
		log, err := i.log(t)
		if err != nil {
			return err
		}
		if log.End() > t.next {
			return fmt.Errorf("topic %q: %w", t.st.Name, errDiverged)
		}
		if err := log.Jump(t.next); err != nil {
			return err
		}
		if err := i.m.syncLog(i.logs[t.st.Incarnation], t.next); err != nil {
			return fmt.Errorf("topic %q: %w", t.st.Name, err)
		}
	}
	return i.m.fs.SyncDir(i.m.topicsDir())
}

// Abort leaves the state as it was. After Commit it does nothing.
func (i *Install) Abort() {
	if i.closed {
		return
	}
	i.closed = true
	m := i.m
	for _, tl := range i.fresh {
		tl.discard()
		m.removeAll(filepath.Join(m.topicsDir(), names.Dir(tl.name, tl.incarnation)))
	}
	for id, tl := range i.logs {
		old := m.s.topics[id]
		if log := tl.opened(); old != nil && log != nil && log.End() != old.next {
			tl.discard() // it is opened again, and cut to its end, by whoever needs it next
		}
	}
	m.mu.Lock()
	m.installing = false
	m.mu.Unlock()
}
