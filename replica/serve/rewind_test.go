package serve

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
	"qmq/topic"
)

// retained is a topic t, led by the first member, whose channel c has finished m0 to m4, which
// are kept.
func (s *set) retained(t *testing.T) *consumer {
	t.Helper()
	leader := s.members[0]
	s.lead(leader, 0)
	leader.ask(t, Request{Op: state.CreateTopic})
	leader.configure(t, `{"retention_time": "1h"}`)
	k := leader.subscribe(t, "c")
	<-time.After(time.Second)
	leader.publishedNow(t, numbered("m", 5)...)
	k.finish(k.takeAll()...)
	<-time.After(time.Second)
	return k
}

// publishedNow publishes messages with the time.
func (m *member) publishedNow(t *testing.T, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		b := new(diskqueue.Batch)
		b.Add(&message.Meta{Timestamp: m.clock.Wall()}, []byte(body))
		must(t, m.node.Publish("t", b))
	}
	synctest.Wait()
}

// replay asks a member for a replay.
func (m *member) replay(t *testing.T, r Request) topic.Replay {
	t.Helper()
	r.Topic, r.Replay = "t", new(topic.Replay)
	must(t, m.node.Do(context.Background(), r))
	synctest.Wait()
	return *r.Replay
}

// TestRewindSurvivesTheLeader and is asked for through any member.
func TestRewindSurvivesTheLeader(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		k := s.retained(t)
		r := s.members[1].replay(t, Request{Op: state.RewindChannel, Channel: "c", From: "first"})
		if r.Messages != 5 || !r.Retained || !r.Oldest || r.Timestamp == 0 {
			t.Errorf("answered %+v", r)
		}
		ds := k.takeAll()
		if !slices.Equal(ds.bodies(), numbered("m", 5)) || k.closed.Load() {
			t.Errorf("%q are delivered, closed %v", ds.bodies(), k.closed.Load())
		}
		k.finish(ds[:2]...)
		<-time.After(time.Second)
		s.members[2].replay(t, Request{Op: state.RewindChannel, Channel: "c", From: "first"})
		s.lead(s.members[1], 0) // before the channel has told anything
		<-time.After(time.Second)
		k.Close()
		k = s.members[1].subscribe(t, "c")
		if got := k.takeAll(); !slices.Equal(got.bodies(), numbered("m", 5)) {
			t.Errorf("the next leader delivers %q", got.bodies())
		} else {
			k.finish(got...)
		}
		<-time.After(time.Second)
		s.lead(s.members[2], 0)
		<-time.After(time.Second)
		k.Close()
		k = s.members[2].subscribe(t, "c")
		if got := k.takeAll().bodies(); len(got) > 0 {
			t.Errorf("what was finished after the rewind is back: %q", got)
		}
		k.Close()
	})
}

func TestWhatIsEmptiedStaysVoidAtAnyLeader(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		k := s.retained(t)
		s.members[1].publishedNow(t, "e0", "e1")
		must(t, s.members[1].node.Do(context.Background(), Request{Op: state.EmptyChannel, Topic: "t", Channel: "c"}))
		<-time.After(time.Second)
		s.lead(s.members[2], 0)
		<-time.After(time.Second)
		k.Close()
		k = s.members[2].subscribe(t, "c")
		s.members[0].replay(t, Request{Op: state.RewindChannel, Channel: "c", From: "first"})
		if got := k.takeAll().bodies(); !slices.Equal(got, numbered("m", 5)) {
			t.Errorf("delivered %q", got)
		}
		k.Close()
	})
}

func TestBoundedChannelIsThatOfTheSet(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.retained(t).Close()
		r := s.members[1].replay(t, Request{Op: state.CreateChannel, Channel: "part", From: "first", Until: "last", Leaves: true})
		if r.Messages != 5 || r.Until == 0 {
			t.Errorf("answered %+v", r)
		}
		s.members[1].publishedNow(t, "new")
		s.lead(s.members[1], 0)
		<-time.After(time.Second)
		k := s.members[1].subscribe(t, "part")
		ds := k.takeAll()
		if !slices.Equal(ds.bodies(), numbered("m", 5)) {
			t.Errorf("delivered %q", ds.bodies())
		}
		k.finish(ds...)
		k.Close()
		served, err := s.members[1].node.Topic("t", true)
		must(t, err)
		if c, ok := served.ExistingChannel("part"); ok {
			served.ConsumerLeft(c)
		}
		<-time.After(time.Second)
		if _, ok := served.ExistingChannel("part"); ok {
			t.Error("it stays when it has had everything")
		}
		do := func(r Request) error { r.Topic = "t"; return s.members[2].node.Do(context.Background(), r) }
		var position *topic.PositionError
		if err := do(Request{Op: state.RewindChannel, Channel: "c", From: "2999-01-01T00:00:00Z"}); !errors.As(err, &position) {
			t.Error(err)
		}
		if err := do(Request{Op: state.RewindChannel, Channel: "c#ephemeral", From: "first"}); !errors.Is(err, topic.ErrEphemeral) && !errors.Is(err, topic.ErrNoChannel) {
			t.Error(err)
		}
		if err := do(Request{Op: state.CreateChannel, Channel: "c", From: "first"}); !errors.Is(err, topic.ErrChannelExists) {
			t.Error(err)
		}
	})
}
