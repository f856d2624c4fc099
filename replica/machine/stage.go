package machine

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"qmq/diskqueue"
	"qmq/internal/names"
)

var (
	errInstalling = errors.New("a snapshot is being installed")
	errInUse      = errors.New("its log is in use")
	errDiverged   = errors.New("this node has more than the snapshot")
	// errUnsure is a machine of which neither the old nor the new state is known to
	// be what the next start finds: only that start can tell.
	errUnsure = errors.New("the machine has to be opened anew")
)

// Staged is a snapshot on its way into a machine. Its records go behind those that
// are there, where they do not count until the new state has its checkpoint:
// whatever stops it before leaves the old state, and after it the new one. One
// goroutine at a time may use it.
type Staged struct {
	m     *Machine
	l     *loader
	logs  map[uint64]*topicLog // of topics of the new state
	left  leftover             // what is there when it is closed
	batch diskqueue.Batch

	unsynced int            // bytes since syncing was begun
	busy     atomic.Bool    // syncing goes on
	syncing  sync.WaitGroup // who does it

	brought bool // there are records that do not count yet
	failed  bool // something of it is not as it should be, here or there
	tried   bool // there may be a checkpoint of it
	closed  bool
}

// leftover is what snapshots have brought that broke off, beside the records behind
// those that count in the logs of the machine. The next one need not bring it again: the
// records of an incarnation are the same on every node, and the giver's are committed.
// Where a giver had none, as nobody owed them any more, there is a gap that is right for
// states of that index and later ones alone.
type leftover struct {
	index uint64               // of the newest state of which there are records
	fresh map[uint64]*topicLog // by incarnation, of topics that the machine does not have
}

// Stage begins to take in a snapshot that is made for the Ends of what it returns. Nothing
// is applied until Install has succeeded or Close was called, which has to follow in
// any case. No view and no Snapshot may be held. It waits for a checkpoint under way.
func (m *Machine) Stage() (*Staged, error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	if err := m.beginInstalling(); err != nil {
		return nil, err
	}
	s := &Staged{m: m, l: newLoader(m.o.Shard), logs: make(map[uint64]*topicLog)}
	if m.left != nil {
		s.left, s.brought = *m.left, true
		m.o.Logger.Info("a snapshot goes on behind what one before it has brought", "shard", m.o.Shard)
		return s, nil
	}
	m.cutLogs()
	s.left.fresh = make(map[uint64]*topicLog)
	return s, nil
}

// Ends are those of the machine and of what is there beside it from snapshots that broke
// off. They are asked for before the first Put.
func (s *Staged) Ends() []End {
	ends := s.m.Ends()
	for i := range ends {
		if log := s.m.logs[ends[i].Topic].opened(); log != nil {
			ends[i].Next = max(ends[i].Next, log.End())
		}
	}
	for id, tl := range s.left.fresh {
		if log := tl.opened(); log != nil {
			ends = append(ends, End{id, log.End()})
		}
	}
	return ends
}

func (m *Machine) beginInstalling() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.installing {
		return errInstalling
	}
	for _, tl := range m.logs {
		if tl.users > 0 {
			return fmt.Errorf("topic %q: %w", tl.name, errInUse)
		}
	}
	m.installing = true
	return nil
}

// unseen says whether logs may have more than counts: nobody gets a view of them. The
// caller holds m.mu.
func (m *Machine) unseen() bool { return m.installing || m.left != nil }

// cutLogs closes the logs that have more than counts: they are cut when they are
// opened again, which whoever needs them does. The caller sees to it that there are no
// views, and holds m.checkpointing, or a checkpoint could take them for synced.
func (m *Machine) cutLogs() {
	for id, tl := range m.logs {
		if log := tl.opened(); log != nil && log.End() != m.s.topics[id].next {
			tl.discard()
		}
	}
}

// Put takes a frame of the snapshot in, whose memory may be used again when it returns.
// After an error only Close is left.
func (s *Staged) Put(frame []byte) error {
	err := s.put(frame)
	s.failed = s.failed || err != nil
	return err
}

func (s *Staged) put(frame []byte) error {
	payload, err := payloadOf(frame, 0)
	if err != nil {
		return err
	}
	switch payload[0] {
	case frameRecords:
		s.l.frames++
		r := numberReader{b: payload[1:]}
		topic, first := r.next(), r.next()
		if r.failed {
			return fmt.Errorf("%w: records of no topic", errFrame)
		}
		return s.records(topic, first, s.batch.ParseRecords(r.b))
	case frameSealed:
		s.l.frames++
		h, records, err := parseSealed(payload)
		if err != nil {
			return err
		}
		err = s.batch.ParseSealed(records, h.first, h.salt)
		if err == nil && s.batch.Len() != int(h.count) {
			err = fmt.Errorf("%d of %d are there", s.batch.Len(), h.count)
		}
		return s.records(h.topic, h.first, err)
	}
	if err := s.l.take(payload); err != nil {
		return err
	}
	if index, there := s.l.s.index, max(s.left.index, s.m.s.index); index < there {
		return fmt.Errorf("%w: it is of index %d, and what is there of %d", errDiverged, index, there)
	}
	return nil
}

// records appends the records of the batch, which were parsed with an error or not,
// behind what the log has.
func (s *Staged) records(id, first uint64, err error) error {
	defer s.batch.Reset()
	if s.l.s == nil || s.l.ended || s.l.s.topics[id] == nil {
		return fmt.Errorf("%w: records of no topic", errFrame)
	}
	t := s.l.s.topics[id]
	if err != nil {
		return fmt.Errorf("%w: records of topic %q: %w", errFrame, t.st.Name, err)
	}
	if n := uint64(s.batch.Len()); first == 0 || first > t.next || n > t.next-first {
		return fmt.Errorf("%w: records %d to %d of topic %q, which ends at %d", errFrame, first, first+n, t.st.Name, t.next)
	}
	log, err := s.log(t)
	if err != nil {
		return err
	}
	if log.End() < first {
		if err := log.Jump(first); err != nil {
			return err
		}
	}
	s.brought = true
	if _, err = log.AppendAt(first, []*diskqueue.Batch{&s.batch}); err == nil {
		s.syncSome(log, s.batch.Bytes())
	}
	return err
}

// syncStretch is how many bytes are written before the disk is told to take them: what
// all that waits for it in the end would hold up those who sync little.
const syncStretch = 16 << 20

// syncSome has what was written to a log survive, in the background: one at a time, and
// an error shows when all is synced.
func (s *Staged) syncSome(log *diskqueue.Log, bytes int) {
	if s.unsynced += bytes; s.unsynced < syncStretch || !s.busy.CompareAndSwap(false, true) {
		return
	}
	s.unsynced = 0
	s.syncing.Add(1)
	s.m.run(func() {
		defer s.syncing.Done()
		defer s.busy.Store(false)
		log.Sync()
	})
}

// log is that of a topic of the new state: it goes on where the old state ends, or what
// there is beside it.
func (s *Staged) log(t *topic) (*diskqueue.Log, error) {
	id, end := t.st.Incarnation, max(1, t.st.Start)
	old := s.m.s.topics[id]
	if old != nil {
		if end = old.next; end > t.next {
			return nil, fmt.Errorf("topic %q: %w: it ends at %d, not %d", t.st.Name, errDiverged, end, t.next)
		}
	}
	if s.logs[id] == nil {
		if old != nil {
			s.logs[id] = s.m.logs[id]
		} else {
			if s.left.fresh[id] == nil {
				s.left.fresh[id] = newTopicLog(t.st)
			}
			s.logs[id] = s.left.fresh[id]
		}
	}
	return s.logs[id].open(s.m, end)
}

// Install makes the snapshot the state, for good: its checkpoint is the newest
// one, and the raft log has to begin behind it. After an error it may be tried
// again.
func (s *Staged) Install() error {
	m, state := s.m, s.l.s
	if err := s.save(); err != nil {
		s.failed = true
		return err
	}
	m.applying.Lock()
	m.mu.Lock()
	for _, logs := range []map[uint64]*topicLog{m.logs, s.left.fresh} {
		for id, tl := range logs {
			if s.logs[id] == nil {
				m.doomed = append(m.doomed, tl)
			}
		}
	}
	m.s, m.logs, m.installing, m.left = state, s.logs, false, nil
	m.mu.Unlock()
	m.applying.Unlock()
	s.closed = true
	m.sweepDoomed()
	m.Reclaim()
	return nil
}

// save has the new state and its records survive.
func (s *Staged) save() error {
	m, state := s.m, s.l.s
	if !s.l.ended {
		return fmt.Errorf("%w: its end is missing", errFrame)
	}
	if err := s.syncLogs(); err != nil {
		return fmt.Errorf("shard %d: install: %w", m.o.Shard, err)
	}
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	s.tried = true
	if err := m.save(state.freeze()); err != nil {
		return fmt.Errorf("shard %d: install: %w", m.o.Shard, err)
	}
	return nil
}

// syncLogs makes all logs end where the new state says, and has them survive.
func (s *Staged) syncLogs() error {
	s.syncing.Wait()
	for _, t := range s.l.s.topics {
		log, err := s.log(t)
		if err != nil {
			return err
		}
		if err := log.Jump(t.next); err != nil {
			return fmt.Errorf("topic %q: %w: %w", t.st.Name, errDiverged, err)
		}
		if err := s.m.syncLog(s.logs[t.st.Incarnation], t.next); err != nil {
			return fmt.Errorf("topic %q: %w", t.st.Name, err)
		}
	}
	return s.m.fs.SyncDir(s.m.topicsDir())
}

// Close leaves the state as it was. What was taken in stays for the next Stage, until an
// entry is applied or the machine is closed, and nobody sees the logs meanwhile; but after
// an error of Put or Install it goes. After Install has succeeded Close does nothing.
// Where Install has left a checkpoint that cannot be taken back, nothing is applied
// any more before the machine is opened anew, with either state.
func (s *Staged) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.syncing.Wait()
	m := s.m
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	if err := s.takeBack(); err != nil {
		m.o.Logger.Error("a snapshot that could not be installed cannot be taken back", "shard", m.o.Shard, "error", err)
		m.mu.Lock()
		m.unsure = true
		m.mu.Unlock()
		return
	}
	left := s.leave()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.installing, m.left = false, left
}

// leave is what is there for the next snapshot; nil: nothing, and what there was is gone.
func (s *Staged) leave() *leftover {
	if !s.brought || s.failed || s.unsyncable() {
		s.m.discardLeft(&s.left)
		return nil
	}
	left := s.left
	if s.l.s != nil {
		left.index = s.l.s.index
	}
	return &left
}

// unsyncable says whether there are records that no sync has survive any more.
func (s *Staged) unsyncable() bool {
	for _, logs := range []map[uint64]*topicLog{s.m.logs, s.left.fresh} {
		for _, tl := range logs {
			if log := tl.opened(); log != nil && log.SyncFailed(log.End()) {
				return true
			}
		}
	}
	return false
}

// discardLeft gives up what snapshots have brought. The caller is like that of cutLogs.
func (m *Machine) discardLeft(left *leftover) {
	for _, tl := range left.fresh {
		tl.discard()
		m.removeAll(filepath.Join(m.topicsDir(), names.Dir(tl.name, tl.incarnation)))
	}
	m.cutLogs()
}

// dropLeft gives up what is there for the next snapshot: entries are applied, which come
// without one. The caller holds m.applying, or nothing is under way.
func (m *Machine) dropLeft() {
	m.mu.Lock()
	left := m.left
	m.mu.Unlock()
	if left == nil {
		return
	}
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	m.discardLeft(left)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = nil
}

// takeBack removes the checkpoint that Install may have left.
func (s *Staged) takeBack() error {
	if !s.tried {
		return nil
	}
	if err := s.m.fs.Remove(s.m.checkpointPath(s.l.s.index)); err != nil && !isNotExist(err) {
		return err
	}
	return s.m.fs.SyncDir(s.m.checkpointDir())
}
