package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// quiet drops what is logged.
var quiet = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.Level(100)}))

// waitLog is a simLog with a goroutine, as the node's log has one.
type waitLog struct {
	mu sync.Mutex
	simLog
	fail  error
	delay time.Duration
	wake  chan struct{}
}

func newWaitLog() *waitLog { return &waitLog{wake: make(chan struct{}, 1)} }

func (l *waitLog) Save(u Update) {
	l.mu.Lock()
	l.simLog.Save(u)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *waitLog) run(ctx context.Context) {
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		delay := l.delay
		l.mu.Unlock()
		time.Sleep(delay)
		l.mu.Lock()
		group, err := l.write(), l.fail
		if err == nil {
			l.sync()
			l.show(group)
		}
		l.mu.Unlock()
		for _, u := range group {
			u.Done(err)
		}
	}
}

func (l *waitLog) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.simLog.Entries(lo, hi, maxSize)
}

func (l *waitLog) Term(i uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.simLog.Term(i)
}

func (l *waitLog) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.simLog.FirstIndex()
}

func (l *waitLog) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.simLog.LastIndex()
}

func (l *waitLog) Compact(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.simLog.Compact(index)
}

// member is a shard of a set in one process, and what it was told.
type member struct {
	id      uint64
	log     *waitLog
	machine *lockedMachine
	shard   *Shard
	cut     bool

	mu     sync.Mutex
	told   []string
	alarms []error
}

func (m *member) note(f string, v ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, fmt.Sprintf(f, v...))
}

func (m *member) Leader(member, term uint64) {}
func (m *member) Led(term uint64)            { m.note("led %d", term) }
func (m *member) Deposed()                   { m.note("deposed") }
func (m *member) Applied(a Applied)          { m.note("applied %d", a.Index) }
func (m *member) Installed(index, _ uint64)  { m.note("installed %d", index) }

// lockedMachine may be looked at while it is applied to.
type lockedMachine struct {
	mu sync.Mutex
	simMachine
	panics bool
	stalls error // why nothing can be applied
}

func (m *lockedMachine) Apply(index, term uint64, data []byte) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.panics {
		panic("as told")
	}
	if m.stalls != nil {
		return nil, m.stalls
	}
	return m.simMachine.Apply(index, term, data)
}

func (m *lockedMachine) SetMembers(index, term uint64, members *pb.ConfState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.simMachine.SetMembers(index, term, members)
}

func (m *lockedMachine) Checkpoint() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.simMachine.Checkpoint()
}

func (m *lockedMachine) set(f func(*lockedMachine)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// set is a few members in one process, within a synctest bubble.
type set struct {
	t       *testing.T
	mu      sync.Mutex // guards cut and members
	members map[uint64]*member
	cancel  context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup
}

func newSet(t *testing.T, voters ...uint64) *set {
	s := &set{t: t, members: make(map[uint64]*member)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, id := range voters {
		s.add(id, voters)
	}
	return s
}

func (s *set) add(id uint64, voters []uint64) *member {
	m := &member{id: id, log: newWaitLog(), machine: &lockedMachine{simMachine: *newSimMachine(bugs{})}}
	s.running.Go(func() { m.log.run(s.ctx) })
	s.open(m, voters, 0)
	s.mu.Lock()
	s.members[id] = m
	s.mu.Unlock()
	s.running.Go(func() {
		for s.ctx.Err() == nil {
			time.Sleep(30 * time.Millisecond)
			m.current().Tick()
		}
	})
	return m
}

func (s *set) open(m *member, voters []uint64, hold int) { s.openOn(m, m.log, voters, hold) }

func (s *set) openWith(m *member, log Log) { s.openOn(m, log, nil, 0) }

func (s *set) openOn(m *member, log Log, voters []uint64, hold int) {
	s.t.Helper()
	start := time.Now()
	shard, err := Open(Options{
		Member: m.id, Voters: voters, Log: log, Machine: m.machine, Send: s.send, Snapshots: s, Events: m,
		Alarm:     func(err error) { m.mu.Lock(); defer m.mu.Unlock(); m.alarms = append(m.alarms, err) },
		HoldTicks: hold, Now: func() time.Duration { return time.Since(start) }, Logger: quiet,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shard = shard
}

// current is the shard as it was opened last, for other goroutines than the
// test's.
func (m *member) current() *Shard {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shard
}

func (s *set) send(messages []*pb.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		if to := s.members[m.GetTo()]; to != nil && !to.cut && !s.members[m.GetFrom()].cut {
			to.current().Step(m)
		}
	}
}

// Offer brings a snapshot over in an instant.
func (s *set) Offer(m *pb.Message) {
	s.mu.Lock()
	from, to := s.members[m.GetFrom()], s.members[m.GetTo()]
	cut := to == nil || to.cut || from.cut
	s.mu.Unlock()
	if cut {
		from.current().SnapshotSent(m.GetTo(), false)
		return
	}
	to.current().Receive(&lockedOffer{from, to})
}

type lockedOffer struct{ from, to *member }

func (l *lockedOffer) Take(context.Context) (meta *pb.SnapshotMetadata, err error) {
	from := newSimMachine(bugs{})
	l.from.machine.set(func(m *lockedMachine) { from.simState = m.clone() })
	l.to.machine.set(func(m *lockedMachine) { meta, err = m.take(from) })
	l.from.current().SnapshotSent(l.to.id, err == nil)
	return meta, err
}

func (l *lockedOffer) Decline() { l.from.current().SnapshotSent(l.to.id, false) }

func (s *set) setCut(id uint64, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[id].cut = cut
}

// leader waits for a member that serves, other than some.
func (s *set) leader(but ...uint64) *member {
	s.t.Helper()
	var found *member
	s.until("a leader", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
	next:
		for _, m := range s.members {
			for _, b := range but {
				if m.id == b {
					continue next
				}
			}
			if m.shard.Status().Serving && !m.cut {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// until waits, in the bubble's time.
func (s *set) until(what string, ok func() bool) {
	s.t.Helper()
	for range 3000 {
		if synctest.Wait(); ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s: not within 30 s", what)
}

// propose waits for the fate.
func (s *set) propose(m *member, e simEntry) error {
	s.t.Helper()
	var fate error
	decided := false
	var mu sync.Mutex
	data := e.encode()
	m.shard.Propose(data, func(_ any, err error) {
		clear(data) // it is the proposer's again
		mu.Lock()
		defer mu.Unlock()
		if decided {
			s.t.Error("a fate came twice")
		}
		fate, decided = err, true
	})
	s.until("a fate", func() bool { mu.Lock(); defer mu.Unlock(); return decided })
	mu.Lock()
	defer mu.Unlock()
	return fate
}

func (s *set) change(m *member, cc *pb.ConfChangeV2) error {
	s.t.Helper()
	fate := make(chan error, 1)
	m.shard.ProposeMembers(cc, func(err error) { fate <- err })
	s.until("a fate", func() bool { return len(fate) > 0 })
	return <-fate
}

func (s *set) stop() {
	for _, m := range s.members {
		m.shard.Stop()
	}
	s.cancel()
	s.running.Wait()
}

// inSet runs a test on a set of so many members.
func inSet(t *testing.T, voters int, test func(*testing.T, *set)) {
	synctest.Test(t, func(t *testing.T) {
		ids := make([]uint64, voters)
		for i := range ids {
			ids[i] = uint64(i + 1)
		}
		s := newSet(t, ids...)
		defer s.stop()
		test(t, s)
	})
}

var batches uint64

func one(member uint64) simEntry {
	batches++
	return simEntry{parts: []origin{{member, batches, 1}}}
}

func TestProposalIsAppliedOnAllMembers(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		s.until("all apply", func() bool {
			for _, m := range s.members {
				if m.machine.count != 1 {
					return false
				}
			}
			return true
		})
	})
}

// What was proposed is not used any more when its fate is known: who was cut off gets
// what was meant, and the memory may have been used for something else.
func TestMemoryOfAProposalIsFreeWhenItsFateIsKnown(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		late := s.members[l.id%3+1]
		s.setCut(late.id, true)
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		s.setCut(late.id, false)
		s.until("it applies", func() bool {
			late.machine.mu.Lock()
			defer late.machine.mu.Unlock()
			return late.machine.count == 1
		})
	})
}

func TestFollowerProposesNothing(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		for _, m := range s.members {
			if m == l {
				continue
			}
			if err := s.propose(m, one(m.id)); !errors.Is(err, ErrNotLeader) {
				t.Errorf("proposed at a follower: %v", err)
			}
		}
	})
}

func TestEventsOfAServingTermComeInOrder(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		term := l.shard.Status().Term
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		l.shard.TransferLeadership(0)
		s.leader(l.id)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		want := []string{fmt.Sprint("led ", term), "applied 3", "deposed"}
		if len(l.told) < 3 || fmt.Sprint(l.told[:3]) != fmt.Sprint(want) {
			t.Errorf("told %v, want %v first", l.told, want)
		}
	})
}
