package serve

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/internal/vfs"
	"qmq/replica"
	"qmq/replica/machine"
	"qmq/topic"
)

var (
	_ Raft    = (*replica.Shard)(nil)
	_ Machine = (*machine.Machine)(nil)
)

var errLost = errors.New("another entry took its place")

var quiet = slog.New(slog.DiscardHandler)

// set is a set of nodes with one shard, whose entries are agreed on as the test says:
// at once after a while, or not; in the order in which they are proposed to the leader.
type set struct {
	t       testing.TB
	members []*member
	latency time.Duration // of agreeing on an entry
	hop     time.Duration // of a frame

	mu        sync.Mutex
	log       []agreed
	proposals []proposal
	term      uint64
	leader    *member // nil: none
	held      bool    // nothing is agreed on
	busy      bool    // agree runs
	cut       map[[2]uint64]bool
	lossy     func(from, to uint64) bool // says of parts that they are lost
	entries   int                        // that were agreed on, with parts
}

type agreed struct {
	term uint64
	data []byte
	by   *proposal
}

type proposal struct {
	m    *member
	data []byte
	done func(any, error)
}

// member is a node of a set.
type member struct {
	s       *set
	id      uint64
	node    *Node
	machine *machine.Machine
	viewed  func() // called when a topic is about to be restored

	deadlines *deadline.Queue
	clock     *clock.Clock
	events    chan func() // the shard's goroutine
	frames    chan func() // the link's
	applied   int
	lag       bool // applies nothing; guarded by set.mu
	ledTerm   uint64
	ended     sync.WaitGroup
}

// withSet runs a test in a bubble of its own, with nodes none of which leads.
func withSet(t *testing.T, nodes int, test func(t *testing.T, s *set)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, nodes)
		test(t, s)
		s.close()
	})
}

func newSet(t testing.TB, nodes int) *set {
	s := &set{t: t, latency: 2 * time.Millisecond, hop: 10 * time.Microsecond, cut: make(map[[2]uint64]bool)}
	for id := range nodes {
		s.members = append(s.members, s.newMember(uint64(id+1)))
	}
	return s
}

func (s *set) newMember(id uint64) *member {
	m := &member{s: s, id: id, clock: clock.New(), events: make(chan func(), 1<<16), frames: make(chan func(), 1<<16)}
	m.deadlines = deadline.New(m.clock)
	disk := diskqueue.NewShared(diskqueue.SharedOptions{FS: vfs.NewMem(), RecycleDir: "/d/recycled", HotBytes: 64 << 20, Logger: quiet})
	var err error
	m.machine, err = machine.Open(machine.Options{
		Dir: "/d", Shared: disk, SegmentBytes: 1 << 20, HotMessages: 10000, Now: m.clock.Wall, Logger: quiet,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	m.ended.Go(func() {
		for f := range m.events {
			f()
		}
	})
	m.ended.Go(func() {
		for f := range m.frames {
			f()
		}
	})
	m.start(1)
	return m
}

// start begins a process of the node.
func (m *member) start(epoch uint64) { m.startOn(epoch, m) }

func (m *member) startOn(epoch uint64, raft Raft) {
	m.node = NewNode(Options{
		Member: m.id, Epoch: epoch, Remote: m, IDPrefix: 7, Logger: quiet,
		Shards: []ShardOptions{{Raft: raft, Machine: &watched{m.machine, m}}},
		Common: topic.Common{
			Channels:          &channel.Common{Clock: m.clock, Deadlines: m.deadlines, MaxMsgTimeout: time.Hour, MaxReqTimeout: time.Hour},
			MemQueueSize:      10000,
			FailureChanged:    func(*topic.Topic) {},
			ReadFailed:        func(_ *topic.Topic, _ string, err error) { m.s.t.Logf("node %d: %v", m.id, err) },
			Damaged:           func(*topic.Topic, uint64, uint64, uint64) {},
			Abandoned:         func(*topic.Topic) {},
			Changed:           func() {},
			RegisterChannel:   func(*topic.Topic, string) {},
			UnregisterChannel: func(*topic.Topic, string) {},
			Logger:            quiet,
		},
	})
}

// watched is a machine that tells when it is looked at.
type watched struct {
	*machine.Machine
	m *member
}

func (w *watched) Topic(incarnation uint64) (*machine.View, error) {
	v, err := w.Machine.Topic(incarnation)
	if w.m.viewed != nil {
		w.m.viewed()
	}
	return v, err
}

func (s *set) close() {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
	for _, m := range s.members {
		m.node.Close()
	}
	for s.agreeing() {
		<-time.After(time.Millisecond)
	}
	<-time.After(10 * time.Millisecond) // frames under way
	for _, m := range s.members {
		close(m.events)
		close(m.frames)
		m.ended.Wait()
		m.deadlines.Close()
		if err := m.machine.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *set) agreeing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

// ProposeOwn and Propose make a member a Raft.
func (m *member) ProposeOwn(data []byte, done func(any, error)) { m.Propose(data, done) }

func (m *member) Propose(data []byte, done func(any, error)) {
	s := m.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != m {
		m.events <- func() { done(nil, errNotLeader) }
		return
	}
	s.proposals = append(s.proposals, proposal{m, bytes.Clone(data), done})
	s.agreeSoon()
}

// agreeSoon has what is proposed agreed on. The caller holds s.mu.
func (s *set) agreeSoon() {
	if !s.busy && !s.held && len(s.proposals) > 0 {
		s.busy = true
		go s.agree()
	}
}

func (s *set) agree() {
	for {
		<-time.After(s.latency)
		s.mu.Lock()
		if s.held || len(s.proposals) == 0 {
			s.busy = false
			s.mu.Unlock()
			return
		}
		p := s.proposals[0]
		s.proposals = s.proposals[1:]
		s.append(agreed{s.term, p.data, &p})
		s.mu.Unlock()
	}
}

// append makes an entry one that is agreed on. The caller holds s.mu.
func (s *set) append(a agreed) {
	s.log = append(s.log, a)
	if a.by != nil {
		s.entries++
	}
	for _, m := range s.members {
		m.applyLater()
	}
}

// applyLater has a member apply what is agreed on. The caller holds set.mu.
func (m *member) applyLater() { m.events <- m.apply }

func (m *member) apply() {
	for {
		m.s.mu.Lock()
		if m.lag || m.applied == len(m.s.log) {
			m.s.mu.Unlock()
			return
		}
		a := m.s.log[m.applied]
		m.applied++
		leads := m.s.leader == m && a.term == m.s.term && m.ledTerm != a.term
		m.s.mu.Unlock()
		outcome, err := m.machine.Apply(uint64(m.applied), a.term, a.data)
		if err != nil {
			panic(err)
		}
		if len(a.data) > 0 {
			m.node.Shard(0).Applied(outcome)
		}
		if a.by != nil && a.by.m == m {
			a.by.done(outcome, nil)
		}
		if leads {
			m.ledTerm = a.term
			m.node.Shard(0).Led(a.term)
		}
	}
}

// lead makes a member the leader, and waits until it serves. Of what was proposed and
// not agreed on, the first keep entries are agreed on all the same.
func (s *set) lead(m *member, keep int) {
	s.depose(keep)
	s.mu.Lock()
	s.term++
	s.leader = m
	term := s.term
	for _, x := range s.members {
		x.events <- func() { x.node.Shard(0).Leader(m.id, term) }
	}
	s.append(agreed{term: term})
	s.mu.Unlock()
	synctest.Wait()
}

// depose has the set without a leader.
func (s *set) depose(keep int) {
	s.mu.Lock()
	old, lost := s.leader, s.proposals
	s.leader, s.proposals = nil, nil
	for _, p := range lost[:min(keep, len(lost))] {
		s.append(agreed{s.term, p.data, &p})
	}
	for _, p := range lost[min(keep, len(lost)):] {
		p.m.events <- func() { p.done(nil, errLost) }
	}
	term := s.term
	for _, x := range s.members {
		x.events <- func() {
			if x == old && x.ledTerm == term {
				x.node.Shard(0).Deposed()
			}
			x.node.Shard(0).Leader(0, term)
		}
	}
	s.mu.Unlock()
	synctest.Wait()
}

// taken is how many entries with something in them were agreed on.
func (s *set) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries
}

// hold stops agreeing, or goes on with it.
func (s *set) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	s.agreeSoon()
}

// setLag has a member apply nothing, or go on with it.
func (m *member) setLag(lag bool) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.lag = lag
	m.applyLater()
}

// What makes a member a Remote.

func (m *member) SendParts(to uint64, frame []byte) bool {
	m.s.mu.Lock()
	lost := m.s.lossy != nil && m.s.lossy(m.id, to)
	m.s.mu.Unlock()
	return lost || m.deliver(to, func(n *Node) error { return n.ReceiveParts(m.id, frame) })
}

func (m *member) SendNotice(to uint64, frame []byte) bool {
	return m.deliver(to, func(n *Node) error { return n.ReceiveNotice(m.id, frame) })
}

func (m *member) deliver(to uint64, receive func(*Node) error) bool {
	m.s.mu.Lock()
	cut := m.s.cut[[2]uint64{m.id, to}]
	m.s.mu.Unlock()
	if cut {
		return false
	}
	other := m.s.members[to-1]
	other.frames <- func() {
		time.Sleep(m.s.hop)
		if err := receive(other.node); err != nil {
			m.s.t.Error(err)
		}
	}
	return true
}

func (m *member) Peers() (ids []uint64) {
	for _, x := range m.s.members {
		if x != m {
			ids = append(ids, x.id)
		}
	}
	return ids
}

func (m *member) Call(ctx context.Context, to uint64, request []byte) ([]byte, error) {
	m.s.mu.Lock()
	cut := m.s.cut[[2]uint64{m.id, to}]
	m.s.mu.Unlock()
	if cut {
		return nil, errors.New("no connection")
	}
	answer := make(chan []byte, 1)
	go func() { answer <- m.s.members[to-1].node.Answer(request) }()
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// separate cuts the connection of two members, or mends it.
func (s *set) separate(a, b *member, cut bool) {
	s.mu.Lock()
	s.cut[[2]uint64{a.id, b.id}], s.cut[[2]uint64{b.id, a.id}] = cut, cut
	s.mu.Unlock()
	a.node.LinkChanged(b.id)
	b.node.LinkChanged(a.id)
}
