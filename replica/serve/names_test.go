package serve

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"qmq/state"
)

// local is the Names of a set: those that stay local, which a node knows when it has heard.
type local struct {
	mu     sync.Mutex // guards what follows
	agreed map[string]bool
	known  map[string]bool
	heard  int
	deaf   bool // nothing can be heard
}

func newLocal(s *set, agreed ...string) *local {
	l := &local{agreed: make(map[string]bool), known: make(map[string]bool)}
	for _, name := range agreed {
		l.agreed[name] = true
	}
	for _, m := range s.members {
		m.node.o.Names = l
	}
	return l
}

func (l *local) agree(name string, stays bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agreed[name] = stays
}

func (l *local) setDeaf(deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = deaf
}

// times is how often it was heard.
func (l *local) times() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

func (l *local) Hear(ctx context.Context) error {
	l.mu.Lock()
	deaf := l.deaf
	l.heard++
	l.mu.Unlock()
	if deaf {
		<-ctx.Done()
		return ctx.Err()
	}
	<-time.After(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, stays := range l.agreed {
		l.known[name] = stays
	}
	return nil
}

func (l *local) Refused(name string) *NameError {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[name] {
		return &NameError{"it stays local"}
	}
	return nil
}

// A leader hears which names stay local before it makes the first topic of its term, and not
// again: publishes to topics that are there ask for nothing.
func TestLeaderHearsOfNamesBeforeItMakesTheFirstTopicOfATerm(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		names := newLocal(s)
		for term, leader := range s.members {
			s.lead(leader, 0)
			if term > 0 {
				s.members[1].published(t, "a")
			}
			if heard := names.times(); heard != term {
				t.Errorf("%d times for topics that are there, in term %d", heard, term)
			}
			for _, name := range []string{"t", "other", "another"} {
				must(t, s.members[1].node.Publish(name+"-"+string(rune('a'+term)), batchOf("a")))
			}
			s.members[2].published(t, "b")
			if heard := names.times(); heard != term+1 {
				t.Errorf("%d times in %d terms", heard, term+1)
			}
		}
	})
}

// What must not be there is refused with the reason, whoever is asked to make it and however;
// what was refused once is made when it may be.
func TestTopicOfANameThatStaysLocalIsNotMade(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		names := newLocal(s, "local", "late")
		s.lead(s.members[0], 0)
		for _, m := range s.members {
			var refused *NameError
			if err := m.node.Publish("local", batchOf("a")); !errors.As(err, &refused) || refused.Text != "it stays local" {
				t.Errorf("node %d publishes: %v", m.id, err)
			}
			if err := m.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "local"}); !errors.As(err, &refused) {
				t.Errorf("node %d creates: %v", m.id, err)
			}
		}
		var refused *NameError
		if _, err := s.members[0].node.Topic("local", true); !errors.As(err, &refused) {
			t.Error(err)
		}
		if err := s.members[1].node.Publish("late", batchOf("a")); !errors.As(err, &refused) {
			t.Error(err)
		}
		names.agree("late", false)
		must(t, s.members[1].node.Publish("late", batchOf("a")))
	})
}

// Who cannot hear which names stay local makes no topics: it is as if nobody led. Topics
// that are there go on.
func TestWhoCannotHearOfNamesMakesNoTopics(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		names := newLocal(s)
		s.lead(s.members[0], 0)
		s.members[1].published(t, "a")
		names.setDeaf(true)
		s.lead(s.members[2], 0)
		for _, m := range s.members {
			begun := time.Now()
			if err := m.node.Publish("new", batchOf("a")); !errors.Is(err, ErrNoLeader) || time.Since(begun) != leaderWithin {
				t.Errorf("node %d: %v after %v", m.id, err, time.Since(begun))
			}
			m.published(t, "b")
		}
		names.setDeaf(false)
		for _, m := range s.members {
			must(t, m.node.Publish("new", batchOf("a")))
		}
	})
}

// Who asks a leader whether there is a topic is told of all that were begun before the leader
// heard that they must not be; of none that comes later is it not told.
func TestLeaderTellsOfTopicsThatAreBeingMade(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		names := newLocal(s)
		leader := s.members[0]
		s.lead(leader, 0)
		s.members[1].published(t, "a")
		s.hold(true)
		made := beside(func() error { return s.members[1].node.Publish("made", batchOf("a")) })
		made.wantWaiting(t)
		names.agree("made", true)
		names.agree("none", true)
		var there []string
		asked := beside(func() (err error) {
			there, err = leader.node.There(context.Background(), []string{"none", "t", "made"})
			return err
		})
		asked.wantWaiting(t)
		<-time.After(10 * time.Millisecond)
		refused := beside(func() error { return leader.node.Publish("none", batchOf("a")) })
		<-time.After(10 * time.Millisecond)
		s.hold(false)
		<-time.After(time.Second)
		asked.want(t, nil)
		made.want(t, nil)
		if len(there) != 2 || there[0] != "t" || there[1] != "made" {
			t.Errorf("there are %q", there)
		}
		var no *NameError
		if !refused.over.Load() || !errors.As(refused.err, &no) {
			t.Error(refused.err)
		}
	})
}

// A leader of an old term does not say that there is no topic: the next one may have made it.
func TestWhoLeadsNoMoreDoesNotSayWhichTopicsThereAre(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		newLocal(s)
		old := s.members[0]
		s.lead(old, 0)
		old.published(t, "a")
		s.hold(true)
		asked := beside(func() error {
			_, err := old.node.There(context.Background(), []string{"new"})
			return err
		})
		<-time.After(10 * time.Millisecond)
		asked.wantWaiting(t)
		s.lead(s.members[1], 0)
		asked.want(t, errNotLeader)
		s.hold(false)
	})
}
