package replica

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// applied is up to where the members have applied, at least and at most.
func (s *set) applied() (least, most uint64) {
	synctest.Wait()
	for _, m := range s.members {
		var index uint64
		m.machine.set(func(l *lockedMachine) { index = l.index })
		if most = max(most, index); least == 0 || index < least {
			least = index
		}
	}
	return least, most
}

func TestFollowersHearWithTheNextEntryThatAnOwnOneIsAgreedOn(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		told := func(any, error) {}
		all := func(what string) {
			t.Helper()
			if least, most := s.applied(); least != most {
				t.Errorf("%s: a follower has applied up to %d and not %d", what, least, most)
			}
		}
		l.shard.Propose(one(l.id).encode(), told)
		all("one that others may wait for")
		l.shard.ProposeOwn(one(l.id).encode(), told)
		_, first := s.applied()
		if least, _ := s.applied(); least != first-1 {
			t.Errorf("followers have applied up to %d, before they should hear that %d is agreed on", least, first)
		}
		l.shard.ProposeOwn(one(l.id).encode(), told)
		if least, most := s.applied(); least != first || most != first+1 {
			t.Errorf("the followers have applied up to %d, the leader up to %d; want %d and one more", least, most, first)
		}
		time.Sleep(postponedFor)
		all("nothing follows")
		l.shard.ProposeOwn(one(l.id).encode(), told)
		l.shard.Propose(one(l.id).encode(), told)
		all("one that others may wait for follows")
		// Both at once: who waits for the first does not wait for what follows the second.
		l.shard.Propose(one(l.id).encode(), told)
		l.shard.ProposeOwn(one(l.id).encode(), told)
		l.shard.ProposeOwn(one(l.id).encode(), told)
		if least, most := s.applied(); least < most-2 {
			t.Errorf("followers have applied up to %d of %d, and others wait for %d", least, most, most-2)
		}
	})
}

func TestMemberThatLeadsNextTellsWhatWasPostponed(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		l.shard.ProposeOwn(one(l.id).encode(), func(any, error) {})
		l.shard.TransferLeadership(0)
		next := s.leader(l.id)
		if err := s.propose(next, one(next.id)); err != nil {
			t.Fatal(err)
		}
		s.until("all have all", func() bool { least, most := s.applied(); return least == most })
	})
}

// What is postponed between the end of one wait and the loop's next look waits no longer than
// else: a busy shard takes both as one.
func TestWhatIsPostponedAtTheEndOfAWaitHasOneOfItsOwn(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		l.shard.ProposeOwn(one(l.id).encode(), func(any, error) {})
		synctest.Wait() // the followers are to hear of it
		gate := make(chan struct{})
		var told map[uint64]*pb.Message
		l.shard.post(0, func(c *core) {
			told = maps.Clone(c.commits.messages)
			<-gate
		})
		time.Sleep(postponedFor)
		synctest.Wait() // the wait's end is in the queue
		l.shard.post(0, func(c *core) { maps.Copy(c.commits.messages, told) })
		close(gate)
		synctest.Wait()
		time.Sleep(postponedFor)
		synctest.Wait()
		waiting := make(chan int, 1)
		l.shard.post(0, func(c *core) { waiting <- len(c.commits.messages) })
		if n := <-waiting; len(told) != 2 || n > 0 {
			t.Errorf("of %d messages %d wait for longer", len(told), n)
		}
	})
}
