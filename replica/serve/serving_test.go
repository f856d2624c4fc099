package serve

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
)

// passive is what a node has applied of a channel; nil when there is none.
func (m *member) passive(t testing.TB, name string) *state.Channel {
	t.Helper()
	for _, c := range m.passiveTopic(t).Channels {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (m *member) passiveTopic(t testing.TB) *state.Topic {
	t.Helper()
	incarnation, _ := m.machine.Incarnation("t")
	v, err := m.machine.Topic(incarnation)
	must(t, err)
	defer v.Release()
	return v.State
}

// wantDone checks how many messages of a channel every node knows to be done.
func (s *set) wantDone(t testing.TB, name string, want int) {
	t.Helper()
	for _, m := range s.members {
		c := m.passive(t, name)
		if c == nil {
			t.Errorf("node %d knows no channel %s", m.id, name)
			continue
		}
		done := c.Acked.Floor() - c.Start
		for r := range c.Acked.Ranges() {
			done += r.Len()
		}
		if int(done) != want {
			t.Errorf("node %d knows %d messages of %s to be done, want %d", m.id, done, name, want)
		}
	}
}

func TestLeaderGivesOutWhatIsApplied(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		for i, m := range s.members {
			m.published(t, fmt.Sprint(i))
			synctest.Wait() // whoever is OK'd may have applied it first
			if got := k.takeAll().bodies(); !slices.Equal(got, []string{fmt.Sprint(i)}) {
				t.Errorf("%q", got)
			}
		}
		if _, err := s.members[1].node.Topic("t", true); !NotLeader(err) {
			t.Error(err)
		}
		k.Close()
	})
}

// TestWhatIsFinishedSurvivesTheLeader: it is known to all after 50 ms, and is not
// delivered again.
func TestWhatIsFinishedSurvivesTheLeader(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[0].published(t, numbered("", 10)...)
		ds := k.takeAll()
		k.finish(ds[0], ds[1], ds[2], ds[7])
		<-time.After(50 * time.Millisecond)
		s.wantDone(t, "c", 4)
		s.lead(s.members[1], 0)
		<-time.After(time.Second)
		if !k.closed.Load() {
			t.Error("the consumer was not told")
		}
		k.Close()
		k = s.members[1].subscribe(t, "c")
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"3", "4", "5", "6", "8", "9"}) {
			t.Errorf("%q", got)
		}
		k.Close()
	})
}

// TestDelaysSurviveTheLeader: of what was published for later, and of what was given
// back until later, and how often it was tried.
func TestDelaysSurviveTheLeader(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[1].published(t, "back", "done")
		var later diskqueue.Batch
		later.Reset()
		due := s.members[1].clock.Wall()/1e6 + 10_000
		later.Add(&message.Meta{Timestamp: 1, DeliverAt: due}, []byte("later"))
		must(t, s.members[1].node.Publish("t", &later))
		synctest.Wait()
		ds := k.takeAll()
		if !slices.Equal(ds.bodies(), []string{"back", "done"}) {
			t.Fatalf("%q", ds.bodies())
		}
		k.Answer([]channel.Answer{{Op: channel.Requeue, ID: ds[0].id, Delay: 5 * time.Second}, {Op: channel.Finish, ID: ds[1].id}})
		<-time.After(time.Second)
		k.Close()
		for i, want := range [][]string{nil, {"back"}, {"later"}} {
			m := s.members[(i+1)%3]
			s.lead(m, 0)
			k = m.subscribe(t, "c")
			ds := k.takeAll()
			if !slices.Equal(ds.bodies(), want) {
				t.Errorf("%q, want %q", ds.bodies(), want)
			}
			k.finish(ds...)
			<-time.After(5 * time.Second)
			k.Close()
		}
	})
}

// TestRefusedEntryIsProposedAgain: publishes are not lost while the leader stays.
func TestRefusedEntryIsProposedAgain(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "a")
		s.hold(true)
		r := beside(func() error { return s.members[1].node.Publish("t", batchOf("b")) })
		<-time.After(time.Millisecond)
		s.refuseProposals(t)
		s.hold(false)
		<-time.After(time.Second)
		r.want(t, nil)
		s.wantStored(t, "a", "b")
	})
}

// TestTopicIsRestoredWhileMuchIsPublished: nothing is missed, nothing comes twice.
func TestTopicIsRestoredWhileMuchIsPublished(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		must(t, s.members[0].node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "t"}))
		must(t, s.members[0].node.Do(t.Context(), Request{Op: state.CreateChannel, Topic: "t", Channel: "c"}))
		var all sync.WaitGroup
		all.Go(func() {
			for i := range 200 {
				s.members[1].published(t, fmt.Sprint(i))
			}
		})
		for i := range 5 {
			<-time.After(30 * time.Millisecond)
			s.lead(s.members[i%3], 1)
			_, err := s.members[i%3].node.Topic("t", false)
			must(t, err)
		}
		all.Wait()
		k := s.members[1].subscribe(t, "c")
		if got := k.takeAll().bodies(); !slices.Equal(got, numbered("", 200)) {
			t.Errorf("%d %.300q", len(got), got)
		}
		k.Close()
	})
}

// TestWhatIsAppliedWhileATopicIsRestoredIsNotMissed: between the look at the state and
// the topic that is made of it.
func TestWhatIsAppliedWhileATopicIsRestoredIsNotMissed(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].subscribe(t, "c").Close()
		s.members[0].published(t, "before")
		s.lead(s.members[1], 0)
		s.members[1].viewed = func() {
			s.members[1].published(t, "meanwhile")
			s.members[1].published(t, "meanwhile, too")
		}
		k := s.members[1].subscribe(t, "c")
		s.members[1].published(t, "after")
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"before", "meanwhile", "meanwhile, too", "after"}) {
			t.Errorf("%q", got)
		}
		k.Close()
	})
}

// TestTopicWaitsForALeaderThatIsAboutToServe, but not for another one.
func TestTopicWaitsForALeaderThatIsAboutToServe(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		m := s.members[0]
		m.setLag(true)
		s.lead(m, 0)
		r := beside(func() error { _, err := m.node.Topic("t", true); return err })
		<-time.After(time.Second)
		r.wantWaiting(t)
		if _, err := s.members[1].node.Topic("t", true); !NotLeader(err) {
			t.Error(err)
		}
		m.setLag(false)
		<-time.After(time.Second)
		r.want(t, nil)

		s.hold(true)
		r = beside(func() error { _, err := m.node.Topic("u", true); return err })
		s.refuseProposals(t)
		s.hold(false)
		<-time.After(time.Second)
		r.want(t, nil)

		m.setLag(true)
		s.lead(s.members[1], 0)
		s.lead(m, 0)
		r = beside(func() error { _, err := m.node.Topic("t", true); return err })
		s.lead(s.members[1], 0)
		r.want(t, errNotLeader)
		m.setLag(false)
	})
}

// TestDeposedWhileATopicIsRestored: whoever asked for it is told, and nothing is left.
func TestDeposedWhileATopicIsRestored(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].subscribe(t, "c").Close()
		s.lead(s.members[1], 0)
		s.members[1].viewed = func() { s.lead(s.members[2], 0) }
		served, err := s.members[1].node.Topic("t", false)
		if err == nil {
			_, err = served.Channel("new")
		}
		if !NotLeader(err) {
			t.Error(err)
		}
		s.members[1].viewed = nil
		s.lead(s.members[1], 0)
		s.members[1].published(t, "a")
		k := s.members[1].subscribe(t, "c")
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%q", got)
		}
		k.Close()
	})
}

// TestDeposedLeaderAnswersWhoWaits, at once, and leaves nothing: the bubble would not
// end with a goroutine in it.
func TestDeposedLeaderAnswersWhoWaits(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[0].published(t, "a")
		served, err := s.members[0].node.Topic("t", false)
		must(t, err)
		s.hold(true)
		changes := beside(func() error { return served.PauseChannel("c") })
		made := beside(func() error { _, err := s.members[0].node.Topic("other", true); return err })
		s.depose(0)
		changes.want(t, errNotLeader)
		made.want(t, errNotLeader)
		if !k.closed.Load() {
			t.Error("the consumer was not told")
		}
		if _, err := served.Channel("new"); err != channel.ErrExiting {
			t.Error(err)
		}
		k.Close()
		s.hold(false)
	})
}

// TestIncarnationsAreGivenOnce, whoever leads.
func TestIncarnationsAreGivenOnce(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		given := make(map[uint64]bool)
		for i := range 12 {
			m := s.members[i%3]
			s.lead(m, 0)
			var all sync.WaitGroup
			for c := range 10 {
				all.Go(func() {
					name := fmt.Sprint("t", i, "-", c/2) // two make each
					must(t, m.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: name}))
					if c%2 == 0 {
						must(t, m.node.Do(t.Context(), Request{Op: state.CreateChannel, Topic: name, Channel: "c"}))
					}
				})
			}
			all.Wait()
			for name, incarnation := range m.machine.Topics() {
				served, err := m.node.Topic(name, false)
				must(t, err)
				given[incarnation] = true
				for _, c := range served.Channels() {
					given[c.Incarnation()] = true
				}
			}
		}
		if len(given) != 12*5*2 {
			t.Errorf("%d incarnations", len(given))
		}
	})
}

// TestDeletedTopicIsForgotten by all who serve it.
func TestDeletedTopicIsForgotten(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[1].published(t, "a")
		must(t, s.members[1].node.Do(t.Context(), Request{Op: state.DeleteTopic, Topic: "t", Everywhere: true}))
		synctest.Wait()
		if !k.closed.Load() {
			t.Error("the consumer was not told")
		}
		k.Close()
		v := s.members[0].node.Shard(0).servingNow()
		if len(v.topics)+len(v.names)+len(v.queues)+len(v.log.attached)+len(v.log.collector.Sources()) != 0 {
			t.Errorf("%v, %v, %v, %v are left", v.topics, v.names, v.queues, v.log.attached)
		}
		for _, m := range s.members {
			if n := len(m.node.Shard(0).listProducers()); n != 0 {
				t.Errorf("%d producers are left", n)
			}
		}
		k = s.members[0].subscribe(t, "c")
		s.members[1].published(t, "b")
		synctest.Wait()
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%q", got)
		}
		k.Close()
	})
}
