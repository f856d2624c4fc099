package serve

import (
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/replica/machine"
	"qmq/state"
)

func (m *member) ask(t *testing.T, r Request) {
	t.Helper()
	r.Topic = "t"
	if err := m.node.Do(t.Context(), r); err != nil && (err != ErrOthersKeep || r.Op != state.DeleteTopic) {
		t.Fatal(err)
	}
	synctest.Wait() // others may apply it later
}

// waiting are the numbers that a channel owes, on a node where nothing is in flight.
func (m *member) waiting(t *testing.T, channel string) int {
	t.Helper()
	c := m.passive(t, channel)
	if c == nil {
		t.Fatalf("node %d has no channel %s", m.id, channel)
	}
	incarnation, _ := m.machine.Incarnation("t")
	v, err := m.machine.Topic(incarnation)
	must(t, err)
	defer v.Release()
	return int(v.Next - c.Acked.Floor())
}

// TestActionThroughOtherMembersIsTheSame for a minute, over a change of leader too: it
// touches nothing that came after it was asked for first.
func TestActionThroughOtherMembersIsTheSame(t *testing.T) {
	empty := Request{Op: state.EmptyChannel, Channel: "c"}
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].ask(t, Request{Op: state.CreateChannel, Channel: "c"})
		want := func(what string, n int) {
			t.Helper()
			<-time.After(100 * time.Millisecond) // the others apply it
			for _, m := range s.members {
				if got := m.waiting(t, "c"); got != n {
					t.Errorf("%s: %d wait on node %d, want %d", what, got, m.id, n)
				}
			}
		}
		s.members[0].published(t, "a", "b")
		s.members[0].ask(t, empty)
		want("emptied through one", 0)
		s.members[0].published(t, "c")
		s.members[1].ask(t, empty)
		want("through another", 1)
		s.lead(s.members[1], 0)
		s.members[2].ask(t, empty)
		want("through the last, at a new leader", 1)
		s.members[2].ask(t, empty)
		want("through the last once more", 0)
		s.members[2].published(t, "d")
		s.members[1].ask(t, empty)
		want("through another again", 1)
		<-time.After(machine.SameAction)
		s.members[0].ask(t, empty)
		want("much later", 0)
	})
}

// TestDeletedChannelIsNotDeletedAgainThroughOthers when it is made anew meanwhile.
func TestDeletedChannelIsNotDeletedAgainThroughOthers(t *testing.T) {
	remove := Request{Op: state.DeleteChannel, Channel: "c"}
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].ask(t, Request{Op: state.CreateChannel, Channel: "c"})
		s.members[1].ask(t, remove)
		s.members[2].ask(t, remove) // it is done
		s.members[0].ask(t, Request{Op: state.CreateChannel, Channel: "c"})
		s.members[0].ask(t, remove)
		if s.members[0].passive(t, "c") == nil {
			t.Error("the new one is deleted")
		}
		s.members[0].ask(t, remove)
		if s.members[0].passive(t, "c") != nil {
			t.Error("it is there")
		}
	})
}

// TestTopicIsDeletedWhenAllLiveMembersWereAsked within a minute.
func TestTopicIsDeletedWhenAllLiveMembersWereAsked(t *testing.T) {
	remove := Request{Op: state.DeleteTopic}
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		there := func(want bool) {
			t.Helper()
			if _, there := s.members[0].machine.Incarnation("t"); there != want {
				t.Fatalf("there: %v, want %v", there, want)
			}
		}
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].ask(t, remove)
		s.members[0].ask(t, remove)
		s.members[1].ask(t, remove)
		there(true)
		if err := s.members[1].node.Do(t.Context(), Request{Op: state.DeleteTopic, Topic: "t"}); err != ErrOthersKeep {
			t.Error(err)
		}
		<-time.After(machine.SameAction) // it is too late for the third
		s.members[2].ask(t, remove)
		s.members[0].ask(t, remove)
		there(true)
		s.lead(s.members[2], 0)
		s.members[1].ask(t, remove)
		there(false)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].ask(t, Request{Op: state.DeleteTopic, Everywhere: true})
		there(false)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		for _, m := range s.members[1:] {
			<-time.After(time.Second)
			m.ask(t, remove) // it was meant for the one before
		}
		there(true)
	})
}

// TestRequestIsDoneOnceWhenTheLeaderIsLost, even if it was done before that.
func TestRequestIsDoneOnceWhenTheLeaderIsLost(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].ask(t, Request{Op: state.CreateTopic})
		s.members[0].ask(t, Request{Op: state.CreateChannel, Channel: "c"})
		r := Request{Op: state.EmptyChannel, Topic: "t", Channel: "c", member: 2, number: 77}
		must(t, s.members[0].node.shardOf("t").doHere(r))
		s.lead(s.members[1], 0)
		s.members[1].published(t, "x")
		must(t, s.members[1].node.shardOf("t").doHere(r))
		if n := s.members[1].waiting(t, "c"); n != 1 {
			t.Errorf("%d wait", n)
		}
	})
}

func TestRequestsTravelWhole(t *testing.T) {
	for _, r := range []Request{
		{}, {Op: state.DeleteTopic, Topic: "t", Everywhere: true, member: 1 << 60, number: 1 << 63},
		{Op: state.CreateChannel, Topic: "t", Channel: "c", Tail: true, number: 5},
	} {
		b := r.encode()
		got, err := decodeRequest(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v, %v, want %+v", got, err, r)
		}
		for n := range b {
			if _, err := decodeRequest(slices.Clone(b[:n])); err == nil {
				t.Errorf("%d bytes of %d are one", n, len(b))
			}
		}
	}
}
