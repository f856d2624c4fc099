package serve

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"qmq/replica/machine"
	"qmq/state"
	"qmq/topic"
)

// TestRequestsAreMadeFromAnyNode, wherever the leader is, and are visible where they
// were made.
func TestRequestsAreMadeFromAnyNode(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		do := func(m *member, op state.Op, channel string) {
			t.Helper()
			must(t, m.node.Do(t.Context(), Request{Op: op, Topic: "t", Channel: channel, Everywhere: true}))
		}
		for i, m := range s.members {
			c := fmt.Sprint("c", i)
			<-time.After(machine.SameAction)
			do(m, state.CreateTopic, "")
			if _, there := m.machine.Incarnation("t"); !there {
				t.Errorf("node %d does not know its topic", m.id)
			}
			do(m, state.CreateChannel, c)
			do(m, state.PauseTopic, "")
			if !m.passiveTopic(t).Paused {
				t.Error("it is not paused")
			}
			m.published(t, "waits")
			do(m, state.EmptyTopic, "")
			do(m, state.UnpauseTopic, "")
			do(m, state.PauseChannel, c)
			if !m.passive(t, c).Paused {
				t.Error("it is not paused")
			}
			m.published(t, "x")
			do(m, state.UnpauseChannel, c)
			do(m, state.EmptyChannel, c)
			if c := m.passive(t, c); c.Acked.Floor() != c.Start+2 {
				t.Errorf("floor %d, start %d", c.Acked.Floor(), c.Start)
			}
			do(m, state.DeleteChannel, c)
			if m.passive(t, c) != nil {
				t.Error("it is there")
			}
			do(m, state.DeleteTopic, "")
			if _, there := m.machine.Incarnation("t"); there {
				t.Error("it is there")
			}
			for op, want := range map[state.Op]error{state.EmptyTopic: ErrNoTopic, state.PauseTopic: ErrNoTopic} {
				if err := m.node.Do(t.Context(), Request{Op: op, Topic: "t"}); err != want {
					t.Errorf("node %d: %v, want %v", m.id, err, want)
				}
			}
			do(m, state.CreateTopic, "")
			if err := m.node.Do(t.Context(), Request{Op: state.EmptyChannel, Topic: "t", Channel: "no"}); err != topic.ErrNoChannel {
				t.Errorf("node %d: %v", m.id, err)
			}
			var tail *topic.TailError
			if err := m.node.Do(t.Context(), Request{Op: state.CreateChannel, Topic: "t", Channel: "look", Tail: true}); !errors.As(err, &tail) {
				t.Errorf("node %d: %v", m.id, err)
			}
		}
	})
}

// TestRequestIsKeptOverAChangeOfLeader, and what it ends may be gone already.
func TestRequestIsKeptOverAChangeOfLeader(t *testing.T) {
	for keep := range 2 {
		for i := range 3 {
			withSet(t, 3, func(t *testing.T, s *set) {
				m := s.members[i]
				s.lead(s.members[0], 0)
				for _, r := range []Request{
					{Op: state.CreateTopic, Topic: "t"}, {Op: state.CreateChannel, Topic: "t", Channel: "c"},
					{Op: state.PauseChannel, Topic: "t", Channel: "c"}, {Op: state.DeleteChannel, Topic: "t", Channel: "c"},
					{Op: state.DeleteTopic, Topic: "t", Everywhere: true},
				} {
					s.hold(true)
					done := beside(func() error { return m.node.Do(t.Context(), r) })
					done.wantWaiting(t)
					s.lead(s.members[(i+1)%3], keep)
					s.hold(false)
					<-time.After(time.Second)
					done.want(t, nil)
				}
			})
		}
	}
}

func TestRequestWithoutLeaderIsGivenUp(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		began := time.Now()
		err := s.members[0].node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "t"})
		if took := time.Since(began); err != ErrNoLeader || took != leaderWithin {
			t.Errorf("%v after %v", err, took)
		}
		if err := s.members[0].node.Publish("t", batchOf("x")); err != ErrNoLeader {
			t.Error(err)
		}
	})
}

func TestLimitOfTopicsIsTheLeaders(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.members[0].node.o.MaxTopics = 1
		s.lead(s.members[0], 0)
		must(t, s.members[1].node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "t"}))
		must(t, s.members[1].node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "t"}))
		var limit *topic.LimitError
		for _, m := range s.members {
			err := m.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "u"})
			if !errors.As(err, &limit) || limit.Max != 1 {
				t.Errorf("%v", err)
			}
		}
	})
}
