package serve

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// consumed publishes messages, each of which fills a segment, and has a channel finish them.
func (s *set) consumed(t *testing.T, leader *member, n int) {
	t.Helper()
	k := leader.subscribe(t, "c")
	for range n {
		b := new(diskqueue.Batch)
		b.Add(&message.Meta{Timestamp: leader.clock.Wall()}, make([]byte, 1100<<10))
		must(t, leader.node.Publish("t", b))
	}
	k.finish(k.takeAll()...)
	k.Close()
	<-time.After(time.Second)
	synctest.Wait()
}

// wantKept wants all members to have so many messages in the log.
func (s *set) wantKept(t *testing.T, want int) {
	t.Helper()
	synctest.Wait()
	for _, m := range s.members {
		m.machine.Reclaim()
		if got := len(m.stored(t, "t")); got != want {
			t.Errorf("node %d has %d messages, want %d", m.id, got, want)
		}
	}
}

// TestAllKeepWhatTheLeaderRetains as long as it says so, and so does the next leader.
func TestAllKeepWhatTheLeaderRetains(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].configure(t, `{"retention_time": "1h"}`)
		for i, m := range s.members {
			s.lead(m, 0)
			s.consumed(t, m, 4)
			s.wantKept(t, 4*(i+1))
			<-time.After(10 * time.Minute)
		}
		<-time.After(31*time.Minute + retainEvery) // the first four are an hour old
		s.wantKept(t, 8)
		s.members[2].configure(t, `{"retention_time": null}`)
		<-time.After(time.Second)
		s.wantKept(t, 0)
	})
}

func TestNothingIsRetainedBeforeAllMembersKnowHow(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		var known atomic.Bool
		for _, m := range s.members {
			m.node.o.Retainable = func() bool { return known.Load() }
		}
		s.lead(s.members[0], 0)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].configure(t, `{"retention_bytes": 1000000000}`)
		s.consumed(t, s.members[0], 4)
		s.wantKept(t, 0)
		known.Store(true)
		<-time.After(retainEvery)
		s.consumed(t, s.members[0], 4)
		s.wantKept(t, 4)
	})
}

// TestWhatIsRetainedGivesWayWhereRoomIsScarce at all members, and is retained again
// when there is room.
func TestWhatIsRetainedGivesWayWhereRoomIsScarce(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		var scarce atomic.Bool
		for _, m := range s.members {
			m.node.o.Scarce = func() bool { return scarce.Load() }
		}
		s.lead(s.members[0], 0)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].configure(t, `{"retention_time": "24h"}`)
		s.consumed(t, s.members[0], 4)
		s.wantKept(t, 4)
		scarce.Store(true)
		<-time.After(retainEvery)
		s.wantKept(t, 0)
		scarce.Store(false)
		<-time.After(retainEvery)
		s.consumed(t, s.members[0], 4)
		s.wantKept(t, 4)
	})
}

// TestPatternsRetainToo, those of whoever leads.
func TestPatternsRetainToo(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		rules := new(settings.Rules)
		must(t, rules.AddTopics("t*", map[string]any{"retention_time": "24h"}))
		s.members[1].node.o.Common.Settings = rules
		s.lead(s.members[0], 0)
		s.consumed(t, s.members[0], 2)
		s.wantKept(t, 0)
		s.lead(s.members[1], 0)
		s.consumed(t, s.members[1], 2)
		s.wantKept(t, 2)
		s.lead(s.members[2], 0)
		<-time.After(time.Second)
		s.wantKept(t, 0)
		if kept := s.members[0].machine.Retained(); !slices.Equal(kept, nil) {
			t.Errorf("%v", kept)
		}
	})
}
