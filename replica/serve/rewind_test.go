package serve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
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
		s.members[1].replay(t, Request{Op: state.RewindChannel, Channel: "c", From: "first"})
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

var rewindToFirst = Request{Op: state.RewindChannel, Channel: "c", From: "first"}

// TestRewindThroughOtherMembersIsTheSame for a while, over a change of leader too: tools that ask
// all members end deliveries once.
func TestRewindThroughOtherMembersIsTheSame(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		k := s.retained(t)
		want := func(what string, m *member, r Request, joined bool) {
			t.Helper()
			if got := m.replay(t, r); got.Joined != joined || !joined && got.Messages != 5 || got.From == 0 {
				t.Errorf("%s: answered %+v", what, got)
			}
		}
		want("through one", s.members[0], rewindToFirst, false)
		ds := k.takeAll()
		k.finish(ds[:2]...)
		want("through another", s.members[1], rewindToFirst, true)
		k.finish(ds[2:4]...) // which are still under way
		<-time.After(time.Second)
		s.lead(s.members[1], 0)
		<-time.After(time.Second)
		want("through the last, at a new leader", s.members[2], rewindToFirst, true)
		k.Close()
		k = s.members[1].subscribe(t, "c")
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"m4"}) {
			t.Errorf("delivered %q", got)
		}
		want("through the last once more", s.members[2], rewindToFirst, false)
		want("through another again", s.members[0], rewindToFirst, true)
		want("to a number, which is another place", s.members[1], Request{Op: state.RewindChannel, Channel: "c", From: "1"}, false)
		want("to the first one, where it does not stand any more", s.members[2], rewindToFirst, false)
		<-time.After(joinedWithin)
		want("much later", s.members[0], rewindToFirst, false)
		k.Close()
	})
}

// TestReplayIsDoneOnceWhenTheLeaderIsLost, even if it was done before that.
func TestReplayIsDoneOnceWhenTheLeaderIsLost(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		k := s.retained(t)
		do := func(m *member, r Request) (topic.Replay, error) {
			r.Topic, r.Replay = "t", new(topic.Replay)
			err := m.node.shardOf("t").doHere(r)
			synctest.Wait()
			return *r.Replay, err
		}
		create := Request{Op: state.CreateChannel, Channel: "new", From: "first", Until: "last", member: 2, number: 77}
		rewind := rewindToFirst
		rewind.member, rewind.number = 2, 78
		made, err := do(s.members[0], create)
		must(t, err)
		_, err = do(s.members[0], rewind)
		must(t, err)
		s.lead(s.members[1], 0)
		<-time.After(time.Second)
		k.Close()
		k = s.members[1].subscribe(t, "c")
		k.finish(k.takeAll()...)
		again, err := do(s.members[1], create)
		if again != made || err != nil {
			t.Errorf("asked again: %+v, %v, want %+v", again, err, made)
		}
		if r, err := do(s.members[1], rewind); err != nil || r.Messages != 0 || r.From != made.From {
			t.Errorf("a rewind that is asked for again: %+v, %v", r, err)
		}
		for what, change := range map[string]func(*Request){
			"another request of the member":    func(r *Request) { r.number++ },
			"another member, to another place": func(r *Request) { r.member, r.From = 3, "last" },
			"another member, with no end":      func(r *Request) { r.member, r.Until = 3, "" },
			"another member, and it leaves":    func(r *Request) { r.member, r.Leaves = 3, true },
		} {
			r := create
			if change(&r); r.From == "last" {
				r.Until = ""
			}
			if _, err := do(s.members[1], r); !errors.Is(err, topic.ErrChannelExists) {
				t.Errorf("%s: %v", what, err)
			}
		}
		create.member = 3
		if r, err := do(s.members[1], create); err != nil || !r.Joined || r.From != made.From {
			t.Errorf("through another member: %+v, %v", r, err)
		}
		s.members[0].ask(t, Request{Op: state.DeleteChannel, Channel: "new"})
		if r, err := do(s.members[1], create); err != nil || r.Joined || r.Messages != 5 {
			t.Errorf("of one that was deleted: %+v, %v", r, err)
		}
		k.Close()
	})
}

// TestReplaysAreNotNotedBeforeAllKnowThem: a member of an older version could not read it.
func TestReplaysAreNotNotedBeforeAllKnowThem(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		k := s.retained(t)
		s.members[0].node.o.Repeatable = func() bool { return false }
		for _, m := range s.members {
			if r := m.replay(t, rewindToFirst); r.Joined || r.Messages != 5 {
				t.Errorf("answered %+v", r)
			}
			a := s.members[0].node.shardOf("t").servingNow().action(&rewindToFirst)
			a.Name, a.Place = "t", "first  "
			if _, known := s.members[0].machine.Asked(a); known {
				t.Error("it is noted")
			}
		}
		k.Close()
	})
}

// TestReplaysAmidWhateverHappens: leaders come and go, entries and frames are lost, members lag.
// Nobody is told that a channel is there which his own request has made; what is rewound, or
// begins with the first message, gets all once.
func TestReplaysAmidWhateverHappens(t *testing.T) {
	for seed := range uint64(12) {
		withSet(t, 3, func(t *testing.T, s *set) {
			r := rand.New(rand.NewPCG(seed, 1))
			s.retained(t).Close()
			f := &fates{told: make(map[string]error), list: make([][]string, 3), finished: make(map[string]bool)}
			var all, consumers sync.WaitGroup
			for i, m := range s.members {
				own := rand.New(rand.NewPCG(seed, uint64(i)+20))
				consumers.Go(func() { f.consumer(m, own) })
				publishing := rand.New(rand.NewPCG(seed, uint64(i)+2))
				all.Go(func() {
					for n := range 20 {
						time.Sleep(time.Duration(publishing.IntN(1000)) * time.Millisecond)
						b := new(diskqueue.Batch)
						b.Add(&message.Meta{Timestamp: m.clock.Wall()}, fmt.Appendf(nil, "%d-%d", i, n))
						_ = m.node.Publish("t", b)
					}
				})
				all.Go(func() {
					for n := range 30 {
						m.replayAtRandom(t, fmt.Sprintf("x%d-%d", i, n), rand.New(rand.NewPCG(seed, uint64(100*i+n))))
					}
				})
			}
			for range 100 {
				s.injectFault(r)
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
			s.recover(r)
			all.Wait()
			f.mu.Lock()
			f.over = true
			f.mu.Unlock()
			consumers.Wait()
			time.Sleep(joinedWithin)
			s.wantWhole(t, seed)
		})
	}
}

// replayAtRandom has a channel of a name begin with the first message, or rewinds the one that
// is consumed.
func (m *member) replayAtRandom(t *testing.T, name string, r *rand.Rand) {
	time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
	q := Request{Op: state.CreateChannel, Topic: "t", Channel: name, From: "first", Replay: new(topic.Replay)}
	if r.IntN(2) == 0 {
		q.Op, q.Channel = state.RewindChannel, "c"
	}
	if err := m.node.Do(context.Background(), q); err != nil && !errors.Is(err, ErrNoLeader) {
		t.Errorf("%v of %s: %v", q.Op, q.Channel, err)
	}
}

// wantWhole wants all channels to get all that is stored, once, when the one that is consumed
// is rewound.
func (s *set) wantWhole(t *testing.T, seed uint64) {
	t.Helper()
	stored := s.leader.stored(t, "t")
	if got := s.members[seed%3].replay(t, rewindToFirst); got.Joined || got.Messages != int64(len(stored)) {
		t.Errorf("seed %d: answered %+v, %d are stored", seed, got, len(stored))
	}
	served, err := s.leader.node.Topic("t", false)
	must(t, err)
	for _, c := range served.Channels() {
		k := s.leader.subscribe(t, c.Name())
		if got := k.takeAll().bodies(); !equalSets(got, stored) {
			t.Errorf("seed %d: %s gets %q, stored are %q", seed, c.Name(), got, stored)
		}
		k.Close()
	}
}

func equalSets(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// TestTimeBeforeNowIsReckonedOnce on a set: by whoever leads, when it does it, also where other
// members are asked a moment later.
func TestTimeBeforeNowIsReckonedOnce(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.retained(t).Close()
		<-time.After(time.Hour)
		s.members[1].publishedNow(t, "late")
		ask := func(m int, from string) topic.Replay {
			return s.members[m].replay(t, Request{Op: state.CreateChannel, Channel: "recent", From: from})
		}
		made := ask(1, "-30m")
		if made.Messages != 1 || made.Joined {
			t.Errorf("answered %+v", made)
		}
		<-time.After(time.Second)
		for m, from := range map[int]string{0: "-30m", 2: "-1800s"} {
			if r := ask(m, from); !r.Joined || r.From != made.From {
				t.Errorf("through another member: %+v, want what %+v says", r, made)
			}
		}
	})
}
