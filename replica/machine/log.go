package machine

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/state"
)

// topicLog is the log of a topic on this node.
type topicLog struct {
	name        string
	incarnation uint64

	mu  sync.Mutex     // guards what follows; log is used without it by whoever has it
	log *diskqueue.Log // nil before the first use
	hot bool           // the newest messages are worth their memory

	// What follows is guarded by Machine.mu.
	users int    // who hold a view or a snapshot: the log is not closed under them
	gone  func() // called by the last of them; nil while the topic is there
}

func newTopicLog(st *state.Topic) *topicLog {
	return &topicLog{name: st.Name, incarnation: st.Incarnation}
}

// open is the log. It is opened, if it is not yet, as one that ends at end: what
// its files have above it was applied before a stop, and is applied again.
func (tl *topicLog) open(m *Machine, end uint64) (*diskqueue.Log, error) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	if tl.log != nil {
		return tl.log, nil
	}
	log, rec, err := diskqueue.Open(m.o.Shared, diskqueue.Options{
		Dir:          filepath.Join(m.topicsDir(), names.Dir(tl.name, tl.incarnation)),
		Incarnation:  tl.incarnation,
		SegmentBytes: m.o.SegmentBytes,
		Next:         func(uint64) uint64 { return end },
		End:          end,
		Found:        func(f diskqueue.Finding) { m.found(tl, f) },
		Now:          m.o.Now,
		Logger:       m.o.Logger,
	})
	for _, f := range rec.Findings {
		m.found(tl, f)
	}
	if err != nil {
		return nil, fmt.Errorf("shard %d, topic %q: %w", m.o.Shard, tl.name, err)
	}
	tl.log = log
	if tl.hot {
		log.KeepHot(m.o.HotMessages)
	}
	return log, nil
}

func (m *Machine) found(tl *topicLog, f diskqueue.Finding) {
	if m.o.Found != nil {
		m.o.Found(Finding{Topic: tl.name, Incarnation: tl.incarnation, Finding: f})
	}
}

// opened is the log if it is open, nil otherwise.
func (tl *topicLog) opened() *diskqueue.Log {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	return tl.log
}

// jump makes the log go on at a number. One that is not open is opened there.
func (tl *topicLog) jump(next uint64) {
	if log := tl.opened(); log != nil {
		_ = log.Jump(next) // it goes forward: a machine's numbers do
	}
}

// discard closes the log as it is.
func (tl *topicLog) discard() {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	if tl.log != nil {
		tl.log.Discard()
		tl.log = nil
	}
}

// setHot says whether the newest messages are worth their memory.
func (tl *topicLog) setHot(hot bool, messages int) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.hot = hot
	if tl.log == nil {
		return
	}
	if !hot {
		messages = 0
	}
	tl.log.KeepHot(messages)
}

// View is a topic at an index, for whoever serves it.
type View struct {
	Index uint64 // of the last entry that is in it: later ones come by their outcomes
	// State is the passive state, which is the caller's. The topic's voids are those
	// that it lists: what else the log cannot read here another replica may have.
	State *state.Topic
	// Next is one past the last number that was applied. The log's End may be above
	// it while an entry cannot be applied.
	Next uint64
	// Log may be read until Release, also when the topic is deleted meanwhile. The
	// machine alone appends to it, syncs it and takes segments out.
	Log *diskqueue.Log

	m  *Machine
	tl *topicLog
}

// Topic is the topic of an incarnation as it is now; whoever asks releases it.
// The error is ErrNoTopic or one of the file system.
func (m *Machine) Topic(incarnation uint64) (*View, error) {
	m.mu.Lock()
	t := m.s.topics[incarnation]
	if t == nil || m.unseen() {
		err := fmt.Errorf("%w: %016x", ErrNoTopic, incarnation)
		if m.unseen() {
			err = errInstalling
		}
		m.mu.Unlock()
		return nil, err
	}
	v := &View{Index: m.s.index, State: t.st.Clone(), Next: t.next, m: m, tl: m.logs[incarnation]}
	v.State.Messages, v.State.Bytes = t.messages, t.bytes
	v.tl.users++
	m.mu.Unlock()
	var err error
	if v.Log, err = v.tl.open(m, v.Next); err != nil {
		v.Release()
		return nil, err
	}
	return v, nil
}

// Release gives a view back: its log is not used any more.
func (v *View) Release() { v.m.release(v.tl) }

func (m *Machine) release(tl *topicLog) {
	m.mu.Lock()
	tl.users--
	gone := tl.gone
	if tl.users > 0 {
		gone = nil
	}
	m.mu.Unlock()
	if gone != nil {
		m.run(gone)
	}
}

// SetServed says whether a topic is served here: its newest messages are kept in
// memory then.
func (m *Machine) SetServed(incarnation uint64, served bool) {
	m.mu.Lock()
	tl := m.logs[incarnation]
	m.mu.Unlock()
	if tl != nil {
		tl.setHot(served, m.o.HotMessages)
	}
}

// Logs are the logs of the topics that are open.
func (m *Machine) Logs() (list []*diskqueue.Log) {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.logs))
	m.mu.Unlock()
	for _, tl := range all {
		if log := tl.opened(); log != nil { // it may be being opened, which takes a while
			list = append(list, log)
		}
	}
	return list
}
