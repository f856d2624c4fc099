package serve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/message"
	"qmq/state"
	"qmq/topic"
)

func TestPublishIsDoneWhenItIsAppliedHere(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		for i, m := range s.members {
			s.hold(true)
			r := beside(func() error { return m.node.Publish("t", batchOf(fmt.Sprint(i))) })
			<-time.After(time.Second)
			r.wantWaiting(t)
			m.setLag(true)
			s.hold(false)
			<-time.After(time.Second)
			r.wantWaiting(t)
			m.setLag(false)
			r.want(t, nil)
		}
		s.wantStored(t, "first", "0", "1", "2")
	})
}

func TestRefusedPublishLeavesNothingBehind(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "first")
		full := errors.New("the disks are full")
		m.node.Refuse(full)
		if err := m.node.Publish("t", batchOf("second")); !errors.Is(err, full) {
			t.Errorf("publish: %v", err)
		}
		m.node.Refuse(nil)
		m.published(t, "third")
		s.wantStored(t, "first", "third")
	})
}

// What is to be there before the first message of a topic is made, or asked for, only where the
// topic is not there.
func TestPublishAsksHowATopicIsMadeOnlyWhereThereIsNone(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		asked, refusal := 0, errors.New("it may not be made")
		m.node.o.Making = func(name string) error {
			asked++
			switch asked {
			case 1:
				return refusal
			case 2: // it makes it itself
				return m.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: name})
			}
			return nil
		}
		if err := m.node.Publish("t", batchOf("first")); !errors.Is(err, refusal) {
			t.Errorf("publish: %v", err)
		}
		m.published(t, "second", "third")
		s.wantStored(t, "second", "third")
		if asked != 2 {
			t.Errorf("it is asked %d times", asked)
		}
		if err := m.node.Publish("other", batchOf("first")); err != nil || asked != 3 {
			t.Errorf("a topic of which nothing is known: %v, asked %d times", err, asked)
		}
	})
}

// TestPublishThroughAnyNodeIsKeptOverAChangeOfLeader: what was lost is sent again, what
// was agreed on all the same counts once.
func TestPublishThroughAnyNodeIsKeptOverAChangeOfLeader(t *testing.T) {
	for _, keep := range []int{0, 1, 2} {
		for through := range 3 {
			t.Run(fmt.Sprintf("%d kept, through %d", keep, through+1), func(t *testing.T) {
				withSet(t, 3, func(t *testing.T, s *set) {
					m := s.members[through]
					s.lead(s.members[0], 0)
					m.published(t, "a")
					s.hold(true)
					var results []*result
					for _, body := range []string{"b", "c", "d"} {
						results = append(results, beside(func() error { return m.node.Publish("t", batchOf(body)) }))
					}
					<-time.After(10 * time.Millisecond)
					s.lead(s.members[1], keep)
					for _, r := range results[min(1, keep):] {
						r.wantWaiting(t)
					}
					s.hold(false)
					<-time.After(time.Second)
					for _, r := range results {
						r.want(t, nil)
					}
					s.wantStored(t, "a", "b", "c", "d")
				})
			})
		}
	}
}

func TestPublishWithoutLeaderIsGivenUpAndLeavesNoGap(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		m := s.members[2]
		s.lead(s.members[0], 0)
		m.published(t, "a")
		s.hold(true)
		sent := beside(func() error { return m.node.Publish("t", batchOf("sent")) })
		<-time.After(10 * time.Millisecond)
		s.depose(0)
		<-time.After(2 * time.Second)
		late := beside(func() error { return m.node.Publish("t", batchOf("late")) })
		<-time.After(3*time.Second + time.Millisecond)
		sent.want(t, ErrNoLeader)
		late.wantWaiting(t)
		s.hold(false)
		s.lead(s.members[1], 0)
		<-time.After(time.Second)
		late.want(t, nil)
		m.published(t, "after")
		s.wantStored(t, "a", "late", "after")
	})
}

// TestNothingIsKeptOfWhatWasNeverSent: who publishes for hours without a leader is
// refused again and again, and costs nothing.
func TestNothingIsKeptOfWhatWasNeverSent(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		m := s.members[2]
		s.lead(s.members[0], 0)
		m.published(t, "a")
		s.depose(0)
		for range 10 {
			if err := m.node.Publish("t", batchOf("never")); err != ErrNoLeader {
				t.Fatal(err)
			}
		}
		p, err := m.node.Publisher("t", false)
		must(t, err)
		p.mu.Lock()
		if len(p.pending) != 0 || p.bytes != 0 || p.next != 2 {
			t.Errorf("%d pending, %d bytes, next %d", len(p.pending), p.bytes, p.next)
		}
		p.mu.Unlock()
		s.lead(s.members[2], 0)
		m.published(t, "b")
		s.wantStored(t, "a", "b")
	})
}

func TestOrderOfANodeIsKept(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "0")
		n := 0
		s.mu.Lock()
		s.lossy = func(uint64, uint64) bool { n++; return n%5 == 0 } // frames get lost, and nobody says so
		s.mu.Unlock()
		var all sync.WaitGroup
		want := []string{"0"}
		for i := range 40 {
			want = append(want, fmt.Sprint(i+1))
			all.Go(func() {
				if err := m.node.Publish("t", batchOf(fmt.Sprint(i+1))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			if i%10 == 9 {
				s.lead(s.members[i/10%3], i%3)
			}
		}
		all.Wait()
		s.wantStored(t, want...)
	})
}

// TestMultiIsPublishedWholeOrNotAtAll.
func TestMultiIsPublishedWholeOrNotAtAll(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		var want []string
		for i, m := range s.members {
			s.hold(true)
			bodies := numbered(fmt.Sprint(i, "-"), 50)
			want = append(want, bodies...)
			r := beside(func() error { return m.node.Publish("t", batchOf(bodies...)) })
			<-time.After(time.Millisecond)
			s.hold(false)
			<-time.After(time.Second)
			s.lead(s.members[(i+1)%3], i%2)
			<-time.After(time.Second)
			r.want(t, nil)
		}
		s.wantStored(t, want...)
	})
}

// TestManyWhoWaitShareFewEntries.
func TestManyWhoWaitShareFewEntries(t *testing.T) {
	for through := range 2 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			m := s.members[through]
			m.published(t, "first")
			before := s.taken()
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					for range 10 {
						if err := m.node.Publish("t", batchOf("x")); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			if n := s.taken() - before; n > 40 {
				t.Errorf("1000 publishes took %d entries", n)
			}
			if n := len(m.stored(t, "t")); n != 1001 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestPublishersAreHeldBack: what waits on a node is bounded.
func TestPublishersAreHeldBack(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "first")
		s.hold(true)
		body := strings.Repeat("x", 1<<20)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := m.node.Publish("t", batchOf(body)); err != nil {
					t.Error(err)
				}
			})
		}
		<-time.After(time.Second)
		p, _ := m.node.Publisher("t", false)
		if bytes, sent := p.sizes(); bytes > maxPending+2<<20 || sent > window {
			t.Errorf("%d bytes wait, %d are sent", bytes, sent)
		}
		if bytes := s.members[0].queued(p.topic); bytes > window {
			t.Errorf("%d bytes wait at the leader", bytes)
		}
		s.hold(false)
		all.Wait()
		if bytes, sent := p.sizes(); bytes != 0 || sent != 0 {
			t.Errorf("%d bytes, %d sent are left", bytes, sent)
		}
	})
}

// TestLeaderTakesNoMoreThanItMay: it says that it is busy, and all comes again.
func TestLeaderTakesNoMoreThanItMay(t *testing.T) {
	withSet(t, 7, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		<-time.After(time.Second)
		s.hold(true)
		body := strings.Repeat("x", 1<<20-1<<10)
		var all sync.WaitGroup
		for _, m := range s.members {
			for range 4 {
				all.Go(func() {
					if err := m.node.Publish("t", batchOf(body)); err != nil {
						t.Error(err)
					}
				})
			}
		}
		<-time.After(time.Second)
		p, _ := s.members[0].node.Publisher("t", false)
		if bytes := s.members[0].queued(p.topic); bytes > maxQueued+1<<20 || bytes < maxQueued {
			t.Errorf("%d bytes wait at the leader", bytes)
		}
		s.hold(false)
		all.Wait()
		if n := len(s.members[3].stored(t, "t")); n != 29 {
			t.Errorf("%d messages", n)
		}
	})
}

// TestFirstPublishMakesTheTopic, through whichever node it comes, once.
func TestFirstPublishMakesTheTopic(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		var all sync.WaitGroup
		for i, m := range s.members {
			all.Go(func() { m.published(t, fmt.Sprint(i)) })
		}
		all.Wait()
		got := s.members[1].stored(t, "t")
		slices.Sort(got)
		if !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("%q", got)
		}
		if _, err := s.members[1].node.Publisher("other", false); err != topic.ErrNoAutoCreate {
			t.Error(err)
		}
	})
}

// TestPublishIntoADeletedTopicGoesIntoTheNextOfThatName.
func TestPublishIntoADeletedTopicGoesIntoTheNextOfThatName(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		for _, m := range s.members {
			m.published(t, "old")
			p, err := m.node.Publisher("t", false)
			must(t, err)
			must(t, s.members[2].node.Do(t.Context(), Request{Op: state.DeleteTopic, Topic: "t", Everywhere: true}))
			<-time.After(time.Second)
			if err := p.Publish(batchOf("lost")); err != channel.ErrExiting {
				t.Error(err)
			}
			m.published(t, "new")
			s.wantStored(t, "new")
		}
	})
}

// TestWhatIsStartedIsStoredInItsOrder, and in the topic that has the name when the one
// that it was started for is deleted.
func TestWhatIsStartedIsStoredInItsOrder(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		if _, ok := m.node.Start("t", batchOf("before it is there")); ok {
			t.Error("it was started without a topic")
		}
		m.published(t, "old")
		start := func(bodies ...string) (waits []func() error) {
			b := batchOf("x")
			for _, body := range bodies {
				b.Reset()
				b.Add(&message.Meta{Timestamp: 1}, []byte(body))
				wait, ok := m.node.Start("t", b)
				if !ok {
					t.Fatal("it was not started")
				}
				waits = append(waits, wait)
			}
			return waits
		}
		for _, wait := range start("a", "b", "c") {
			must(t, wait())
		}
		s.wantStored(t, "old", "a", "b", "c")

		m.setLag(true) // this node does not know that the topic goes
		waits := start("d")
		must(t, s.members[2].node.Do(t.Context(), Request{Op: state.DeleteTopic, Topic: "t", Everywhere: true}))
		waits = append(waits, start("e")...)
		m.setLag(false)
		for _, wait := range waits {
			must(t, wait())
		}
		s.wantStored(t, "d", "e")
	})
}

// TestSnapshotTellsWhatWasPublished: a node that got the state without the entries.
func TestSnapshotTellsWhatWasPublished(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "a")
		m.setLag(true)
		r := beside(func() error { return m.node.Publish("t", batchOf("b")) })
		<-time.After(time.Second)
		r.wantWaiting(t)
		outcomes := m.node
		m.node = s.members[2].node // who is told of the outcomes instead
		m.setLag(false)
		synctest.Wait()
		m.node = outcomes
		r.wantWaiting(t)
		m.node.Shard(0).Installed(1, 1)
		r.want(t, nil)
	})
}

// TestNewEpochBeginsItsNumbersAnew.
func TestNewEpochBeginsItsNumbersAnew(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "a")
		m.published(t, "b")
		m.node.Close()
		m.start(2)
		m.node.Shard(0).Leader(1, s.term)
		m.published(t, "c")
		m.published(t, "d")
		s.wantStored(t, "a", "b", "c", "d")
	})
}

// TestCutOffNodeGivesUp, and goes on when it is back.
func TestCutOffNodeSendsAgain(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "a")
		s.separate(m, s.members[0], true)
		r := beside(func() error { return m.node.Publish("t", batchOf("b")) })
		<-time.After(time.Second)
		r.wantWaiting(t)
		s.separate(m, s.members[0], false)
		<-time.After(10 * time.Millisecond)
		r.want(t, nil)
		s.wantStored(t, "a", "b")
	})
}

// TestCloseAnswersPublishers.
func TestCloseAnswersPublishers(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "a")
		s.hold(true)
		r := beside(func() error { return s.members[0].node.Publish("t", batchOf("b")) })
		s.members[0].node.Close()
		r.want(t, ErrClosed)
		if err := s.members[0].node.Publish("t", batchOf("c")); err != ErrClosed {
			t.Error(err)
		}
	})
}

// TestLeaderMayBeReadyBeforeItIsKnown: its word may come before raft tells of it, and
// where the word is lost it is tried all the same.
func TestLeaderMayBeReadyBeforeItIsKnown(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "a")
		for i, late := range []time.Duration{0, readyWithin} {
			s.depose(0)
			r := beside(func() error { return m.node.Publish("t", batchOf(fmt.Sprint(i))) })
			s.separate(s.members[0], m, true)
			s.lead(s.members[0], 0) // nothing is heard of it
			m.node.Shard(0).Leader(0, s.term)
			if late == 0 {
				must(t, m.node.ReceiveNotice(1, (&notice{kind: noticeReady, term: s.term}).encode()))
			}
			s.mu.Lock()
			clear(s.cut)
			s.mu.Unlock()
			m.node.Shard(0).Leader(1, s.term)
			<-time.After(late + s.latency + time.Millisecond)
			r.want(t, nil)
		}
		s.wantStored(t, "a", "0", "1")
	})
}
