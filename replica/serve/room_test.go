package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"qmq/diskqueue"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
	"qmq/topic"
)

// configure sets settings of the topic t.
func (m *member) configure(t testing.TB, settings string) {
	t.Helper()
	must(t, m.node.Do(context.Background(), Request{Op: state.ConfigureTopic, Topic: "t", Settings: settings}))
}

// wantFull wants a publish to be refused by max_messages.
func wantFull(t testing.TB, err error, most int64) {
	t.Helper()
	var full *topic.FullError
	if !errors.As(err, &full) || *full != (topic.FullError{Topic: "t", Setting: topic.MaxMessages, Max: most}) {
		t.Errorf("it is not refused at %d messages: %v", most, err)
	}
}

// TestFullTopicRefusesThroughAnyNode until something is finished; what was refused is
// never there, and what comes behind it is not held up.
func TestFullTopicRefusesThroughAnyNode(t *testing.T) {
	for through := range 3 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			m := s.members[through]
			m.published(t, "0")
			k := s.members[0].subscribe(t, "c")
			m.configure(t, `{"max_messages": 3}`)
			m.published(t, "1", "2")
			for range 3 {
				wantFull(t, m.node.Publish("t", batchOf("refused")), 3)
			}
			ds := k.takeAll()
			k.finish(ds[0])
			wantFull(t, m.node.Publish("t", batchOf("refused", "as a whole")), 3)
			begun := time.Now()
			m.published(t, "3")
			if took := time.Since(begun); took >= retryAfter {
				t.Errorf("it took %v behind what was refused", took)
			}
			m.configure(t, `{"max_messages": null, "max_bytes": 1000}`)
			var full *topic.FullError
			if err := m.node.Publish("t", batchOf(string(make([]byte, 2000)))); !errors.As(err, &full) || full.Setting != topic.MaxBytes || full.Max != 1000 {
				t.Errorf("it is not refused at 1000 bytes: %v", err)
			}
			m.configure(t, `{"max_bytes": null}`)
			m.published(t, "4", "5", "6")
			s.wantStored(t, "0", "1", "2", "3", "4", "5", "6")
		})
	}
}

// TestNewLeaderRefusesToo: it counts what there is, though nobody uses the topic there.
func TestNewLeaderRefusesToo(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "0")
		s.members[0].configure(t, `{"max_messages": 2}`)
		s.members[0].published(t, "1")
		for _, m := range s.members[1:] {
			s.lead(m, 0)
			for _, by := range s.members {
				wantFull(t, by.node.Publish("t", batchOf("refused")), 2)
			}
		}
		s.members[0].configure(t, `{"overflow": "drop-oldest"}`)
		s.members[0].published(t, "2")
		s.wantStored(t, "0", "1", "2")
	})
}

// TestWhatWasRefusedIsNotTakenWhenItComesAgain: a leader that has room again refuses
// what it has refused, until nothing comes in its place.
func TestWhatWasRefusedIsNotTakenWhenItComesAgain(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "0")
		s.members[0].configure(t, `{"max_messages": 1}`)
		id, _ := s.members[0].machine.Incarnation("t")
		serving := s.members[0].node.Shard(0).servingNow()
		parts := []entry.Part{partOf(id, 2, 1, "a"), partOf(id, 2, 2, "b"), partOf(id, 2, 3, "c")}
		wantRefused := func(no refused, number, through uint64) {
			t.Helper()
			if no.why != full || no.number != number || no.limit.through != through {
				t.Errorf("refused: %+v, want %d to %d", no, number, through)
			}
		}
		wantRefused(serving.offer("t", 0, parts), 1, 3)
		s.members[0].configure(t, `{"max_messages": null}`)
		wantRefused(serving.offer("t", 0, parts), 1, 3)
		serving.missed(id, 2)
		wantRefused(serving.offer("t", 0, parts), 1, 3)
		empty := []entry.Part{{Topic: id, Origin: parts[0].Origin}, parts[1], parts[2]}
		wantRefused(serving.offer("t", 0, empty), 2, 3)
		for i := range 3 {
			empty[i] = entry.Part{Topic: id, Origin: parts[i].Origin}
		}
		if no := serving.offer("t", 0, append(empty, partOf(id, 2, 4, "d"))); no.why != accepted {
			t.Errorf("refused: %+v", no)
		}
		s.wantStored(t, "0", "d")
	})
}

// TestOldLeadersRefusalDoesNotCount once a later one was sent the batch.
func TestOldLeadersRefusalDoesNotCount(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "0")
		s.hold(true)
		r := beside(func() error { return m.node.Publish("t", batchOf("1")) })
		id, _ := m.machine.Incarnation("t")
		p := m.node.Shard(0).producerOf(id)
		p.refusedIn(p.sentTerm-1, refused{why: full, number: 2, limit: limit{through: 2}})
		r.wantWaiting(t)
		s.hold(false)
		<-time.After(time.Second)
		r.want(t, nil)
		s.wantStored(t, "0", "1")
	})
}

func TestFullTopicTakesDeadLettersAndWhatIsPutBack(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		m := s.members[1]
		m.published(t, "0")
		m.configure(t, `{"max_messages": 1}`)
		var letters, back, mixed diskqueue.Batch
		letters.Add(&message.Meta{Timestamp: 1, DeadLetter: &message.DeadLetter{Topic: "o", Channel: "c"}}, []byte("letter"))
		back.Add(&message.Meta{Timestamp: 1, OnlyFor: "c"}, []byte("back"))
		mixed.Add(&message.Meta{Timestamp: 1, OnlyFor: "c"}, []byte("one"))
		mixed.Add(&message.Meta{Timestamp: 1}, []byte("and another"))
		must(t, m.node.Publish("t", &letters))
		must(t, m.node.Publish("t", &back))
		wantFull(t, m.node.Publish("t", &mixed), 1)
		s.wantStored(t, "0", "letter", "back")
	})
}

// TestLimitHoldsOverLossAndChangesOfLeader: all OK'd are there, in the order of each
// publisher, no refused one is, and there are never more than there may be.
func TestLimitHoldsOverLossAndChangesOfLeader(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		s.members[0].configure(t, `{"max_messages": 60}`)
		n := 0
		s.mu.Lock()
		s.lossy = func(uint64, uint64) bool { n++; return n%7 == 0 }
		s.mu.Unlock()
		var all sync.WaitGroup
		var mu sync.Mutex
		taken, told := []string{"first"}, 0
		for i := range 90 {
			all.Go(func() {
				for j := range 3 {
					body := fmt.Sprint(i, " ", j)
					err := s.members[i%3].node.Publish("t", batchOf(body))
					var full *topic.FullError
					mu.Lock()
					switch {
					case err == nil:
						taken = append(taken, body)
					case errors.As(err, &full):
						told++
					default:
						t.Errorf("%s: %v", body, err)
					}
					mu.Unlock()
				}
			})
		}
		for i := range 5 {
			<-time.After(3 * time.Millisecond)
			s.lead(s.members[i%3], i%2)
		}
		all.Wait()
		got := s.members[0].stored(t, "t")
		slices.Sort(got)
		slices.Sort(taken)
		if len(got) > 60 || told == 0 || !slices.Equal(got, taken) {
			t.Errorf("%d are there, %d were OK'd, %d refused:\n%q\n%q", len(got), len(taken), told, got, taken)
		}
	})
}
