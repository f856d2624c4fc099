package replica

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

func (m *member) alarmed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.alarms...)
}

func (s *set) others(but *member) (list []*member) {
	for id := range uint64(len(s.members) + 1) {
		if m := s.members[id]; m != nil && m != but {
			list = append(list, m)
		}
	}
	return list
}

func (m *member) count() (n uint64) {
	m.machine.set(func(l *lockedMachine) { n = l.count })
	return n
}

func TestCutOffLeaderLosesWhatItProposed(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		old := s.leader()
		s.setCut(old.id, true)
		var fate atomic.Pointer[error]
		old.shard.Propose(one(old.id).encode(), func(_ any, err error) { fate.Store(&err) })
		l := s.leader(old.id)
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		if fate.Load() != nil {
			t.Fatalf("the fate is told before it is known: %v", *fate.Load())
		}
		s.setCut(old.id, false)
		s.until("the fate", func() bool { return fate.Load() != nil })
		if err := *fate.Load(); !errors.Is(err, ErrLost) {
			t.Errorf("fate %v, want ErrLost", err)
		}
	})
}

func TestLeaderWithNothingToSaveGivesLeadershipUpWhenTheLogFails(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		old := s.leader()
		old.shard.LogFailed(errors.New("input/output error"))
		l := s.leader(old.id)
		s.until("it ends its part", func() bool { return old.shard.Status().Failure != nil })
		if old.alarmed() == nil {
			t.Error("no alarm")
		}
		if err := s.propose(l, one(l.id)); err != nil {
			t.Error(err)
		}
	})
}

func TestLeaderWhoseLogFailsGivesLeadershipUpAndNeverVotesAgain(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		old := s.leader()
		old.log.mu.Lock()
		old.log.fail = errors.New("input/output error")
		old.log.mu.Unlock()
		old.shard.Propose(one(old.id).encode(), func(any, error) {})
		at := time.Now()
		l := s.leader(old.id)
		if took := time.Since(at); took > 200*time.Millisecond {
			t.Errorf("another leads after %v", took)
		}
		s.until("it ends its part", func() bool { return old.shard.Status().Failure != nil })
		if old.alarmed() == nil {
			t.Error("no alarm")
		}
		if err := s.propose(old, one(old.id)); !errors.Is(err, ErrStopped) {
			t.Errorf("proposal at who failed: %v", err)
		}
		for _, m := range s.others(old) {
			if m != l {
				s.setCut(m.id, true)
			}
		}
		time.Sleep(5 * time.Second)
		if synctest.Wait(); l.shard.Status().Serving {
			t.Error("somebody leads with the vote of a member whose log failed")
		}
	})
}

func TestFollowerWhoseLogFailsAcknowledgesNothing(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		broken, well := s.others(l)[0], s.others(l)[1]
		broken.log.mu.Lock()
		broken.log.fail = errors.New("input/output error")
		broken.log.mu.Unlock()
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		s.setCut(well.id, true)
		var fate atomic.Bool
		l.shard.Propose(one(l.id).encode(), func(any, error) { fate.Store(true) })
		time.Sleep(200 * time.Millisecond)
		if synctest.Wait(); fate.Load() {
			t.Error("applied with the acknowledgement of a member whose log failed")
		}
	})
}

func TestMachineThatCannotApplyWaitsAndKeepsNobodyElse(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		term := l.shard.Status().Term
		full := s.others(l)[0]
		full.machine.set(func(m *lockedMachine) { m.full = true })
		for range 3 {
			if err := s.propose(l, one(l.id)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if since, err := full.shard.Stalled(); since == 0 || !errors.Is(err, errDiskFull) {
			t.Errorf("stalled since %v: %v", since, err)
		}
		full.machine.set(func(m *lockedMachine) { m.full = false })
		s.until("it catches up", func() bool { return full.count() == 3 })
		if _, err := full.shard.Stalled(); err != nil {
			t.Errorf("still stalled: %v", err)
		}
		if now := l.shard.Status(); now.Term != term || now.Role != Leader {
			t.Errorf("leadership moved: %+v", now)
		}
	})
}

func TestMachineThatPanicsEndsTheShardAlone(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		f := s.others(l)[0]
		f.machine.set(func(m *lockedMachine) { m.panics = true })
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		s.until("its end", func() bool { return f.shard.Status().Failure != nil && f.alarmed() != nil })
		if err := s.propose(l, one(l.id)); err != nil {
			t.Errorf("the others: %v", err)
		}
	})
}

// brokenLog breaks its contract when told to.
type brokenLog struct {
	*waitLog
	broken *atomic.Bool
}

func (l brokenLog) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if l.broken.Load() {
		return nil, errors.New("bad sector")
	}
	return l.waitLog.Entries(lo, hi, maxSize)
}

func TestBrokenStorageEndsTheShardAlone(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		f := s.others(l)[0]
		f.shard.Stop()
		var broken atomic.Bool
		s.openWith(f, brokenLog{f.log, &broken})
		broken.Store(true)
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		s.until("its end", func() bool { return f.shard.Status().Failure != nil && f.alarmed() != nil })
		if err := s.propose(l, one(l.id)); err != nil {
			t.Errorf("the others: %v", err)
		}
	})
}

func TestMemberBehindTheLogGetsASnapshot(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		f := s.others(l)[0]
		s.setCut(f.id, true)
		for range 30 {
			if err := s.propose(l, one(l.id)); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range s.members {
			if err := m.shard.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		s.setCut(f.id, false)
		s.until("it catches up", func() bool { return f.count() == 30 })
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.ContainsFunc(f.told, func(e string) bool { return e[:min(9, len(e))] == "installed" }) {
			t.Errorf("no snapshot was installed: %v", f.told)
		}
	})
}

// A member that cannot apply, as on a full disk, and is behind the log by then, takes the
// snapshot once it can, whoever leads at last, and nothing is left out or applied twice.
func TestStalledMemberTakesASnapshotWhenItCan(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		f := s.others(l)[0]
		f.machine.set(func(m *lockedMachine) { m.stalls = syscall.ENOSPC })
		sent := 0
		publish := func(n int) {
			for range n {
				if err := s.propose(l, one(l.id)); err != nil {
					t.Fatal(err)
				}
				sent++
			}
		}
		publish(3)
		s.until("it is stalled", func() bool { _, err := f.shard.Stalled(); return err != nil })
		s.setCut(f.id, true)
		publish(30)
		for _, m := range s.members {
			if m != f {
				if err := m.shard.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.setCut(f.id, false)
		time.Sleep(5 * time.Second) // it is offered what it cannot take
		old := l
		old.shard.TransferLeadership(0)
		l = s.leader(old.id, f.id)
		publish(5)
		time.Sleep(5 * time.Second)
		if n := f.count(); n != 0 {
			t.Errorf("it has applied %d while it could not", n)
		}
		if st := f.shard.Status(); st.Failure != nil {
			t.Fatal(st.Failure)
		}
		f.machine.set(func(m *lockedMachine) { m.stalls = nil })
		s.until("it catches up", func() bool { return f.count() == uint64(sent) })
		publish(1)
		s.until("it goes on", func() bool { return f.count() == uint64(sent) })
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.ContainsFunc(f.told, func(e string) bool { return strings.HasPrefix(e, "installed") }) {
			t.Errorf("no snapshot was installed: %v", f.told)
		}
	})
}

func change(t pb.ConfChangeType, member uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(member)}
}

// replace cuts a member off and brings member 4 in for it.
func (s *set) replace(l *member) (gone, fresh *member) {
	s.t.Helper()
	gone = s.others(l)[0]
	s.setCut(gone.id, true)
	fresh = s.add(4, nil)
	if err := s.change(l, &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{change(pb.ConfChangeAddLearnerNode, 4)}}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.propose(l, one(l.id)); err != nil {
		s.t.Fatal(err)
	}
	s.until("the learner has all", func() bool { return fresh.count() == 1 })
	err := s.change(l, &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{
		change(pb.ConfChangeAddNode, 4), change(pb.ConfChangeRemoveNode, gone.id),
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.until("the joint state is left", func() bool {
		m := l.shard.Status().Members
		return len(m.VotersOutgoing) == 0 && slices.Contains(m.Voters, 4) && !slices.Contains(m.Voters, gone.id)
	})
	return gone, fresh
}

func TestMemberIsReplacedByALearnerInOneJointChange(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		s.replace(l)
		s.setCut(s.others(l)[1].id, true)
		if err := s.propose(l, one(l.id)); err != nil {
			t.Errorf("with the new member's acknowledgement: %v", err)
		}
	})
}

// All are ended when nothing came behind the change, and the leader, which alone
// had to know that it is committed, does not come back.
func TestWhoWasRemovedIsNeverNeededAgain(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		gone, fresh := s.replace(l)
		time.Sleep(time.Second)
		other := s.others(l)[1]
		for _, m := range []*member{l, other, fresh} {
			m.shard.Stop()
		}
		s.setCut(l.id, true)
		for _, m := range []*member{other, fresh} {
			m.log.mu.Lock()
			m.log.restart()
			m.log.mu.Unlock()
			m.machine.set(func(m *lockedMachine) { m.restart() })
			s.open(m, nil, 0)
		}
		next := s.leader(l.id, gone.id)
		if err := s.propose(next, one(next.id)); err != nil {
			t.Error(err)
		}
	})
}

func TestChangeOfMembersThatRaftCannotMakeIsRefused(t *testing.T) {
	inSet(t, 1, func(t *testing.T, s *set) {
		l := s.leader()
		for name, cc := range map[string]*pb.ConfChangeV2{
			"nobody is left":   {Changes: []*pb.ConfChangeSingle{change(pb.ConfChangeRemoveNode, 1)}},
			"member 0":         {Changes: []*pb.ConfChangeSingle{change(pb.ConfChangeAddNode, 0)}},
			"nothing to leave": {},
			"unknown kind":     {Changes: []*pb.ConfChangeSingle{change(9, 2)}},
			"unknown way":      {Transition: pb.ConfChangeTransition(7).Enum(), Changes: []*pb.ConfChangeSingle{change(pb.ConfChangeAddNode, 2)}},
		} {
			if err := s.change(l, cc); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.propose(l, one(1)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestTransferGoesToWhoIsAsked(t *testing.T) {
	inSet(t, 5, func(t *testing.T, s *set) {
		l := s.leader()
		to := s.others(l)[2]
		at := time.Now()
		l.shard.TransferLeadership(to.id)
		if now := s.leader(l.id); now != to {
			t.Errorf("member %d leads, not %d", now.id, to.id)
		}
		if took := time.Since(at); took > 50*time.Millisecond {
			t.Errorf("a planned move took %v", took)
		}
	})
}

func TestUnreachableFollowerIsSentToAgain(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		f := s.others(l)[0]
		s.setCut(f.id, true)
		if err := s.propose(l, one(l.id)); err != nil {
			t.Fatal(err)
		}
		l.shard.Unreachable(f.id)
		s.setCut(f.id, false)
		s.until("it has all", func() bool { return f.count() == 1 })
	})
}

func TestProposalsBeyondTheBoundAreRefused(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		for _, m := range s.others(l) {
			s.setCut(m.id, true)
		}
		large := make([]byte, 8<<20)
		var busy, open atomic.Int32
		const many = 14 // in the log 16 MiB, waiting 64 MiB
		for range many {
			l.shard.Propose(large, func(_ any, err error) {
				if errors.Is(err, ErrBusy) {
					busy.Add(1)
				} else {
					open.Add(1)
				}
			})
		}
		synctest.Wait()
		if busy.Load() != many-10 || open.Load() != 0 {
			t.Errorf("%d of %d refused, %d settled otherwise", busy.Load(), many, open.Load())
		}
	})
}

func TestStopSettlesAllProposals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, 1, 2, 3)
		l := s.leader()
		for _, m := range s.others(l) {
			s.setCut(m.id, true)
		}
		var stopped atomic.Int32
		for range 10 {
			l.shard.Propose(one(l.id).encode(), func(_ any, err error) {
				if errors.Is(err, ErrStopped) {
					stopped.Add(1)
				}
			})
		}
		synctest.Wait()
		s.stop()
		l.shard.Propose(nil, func(_ any, err error) {
			if errors.Is(err, ErrStopped) {
				stopped.Add(1)
			}
		})
		if stopped.Load() != 11 {
			t.Errorf("%d of 11 were told", stopped.Load())
		}
	})
}

// raft forgets at the end of each election timeout whom it has heard of: a member that
// answers all the time counts as heard of all the time, and one that is cut off soon does not.
func TestFollowerThatAnswersIsAlwaysActive(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		active := func(id uint64) bool {
			for _, f := range l.shard.Status().Followers {
				if f.Member == id {
					return f.Active
				}
			}
			return false
		}
		others := s.others(l)
		s.until("both are active", func() bool { return active(others[0].id) && active(others[1].id) })
		for range 300 {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if !active(others[0].id) || !active(others[1].id) {
				t.Fatal("one that answers is not active")
			}
		}
		s.setCut(others[0].id, true)
		cut := time.Now()
		s.until("one that is cut off is not active", func() bool { return !active(others[0].id) })
		if took := time.Since(cut); took > 600*time.Millisecond {
			t.Errorf("it was active for %v", took)
		}
		if !active(others[1].id) {
			t.Error("the other is not active")
		}
	})
}
