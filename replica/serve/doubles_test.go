package serve

import (
	"errors"
	"fmt"
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

// publishedOnce publishes bodies that are their own ids, all in one batch.
func (m *member) publishedOnce(t testing.TB, bodies ...string) {
	t.Helper()
	must(t, m.node.Publish("t", m.onceAt(0, bodies...)))
}

// onceAt is a batch of bodies that are their own ids, by a wall clock that is ahead.
func (m *member) onceAt(ahead time.Duration, bodies ...string) *diskqueue.Batch {
	b := new(diskqueue.Batch)
	stamp := m.node.Stamp("t").Begin(b)
	for _, body := range bodies {
		x := message.Meta{Timestamp: m.clock.Wall() + int64(ahead)}
		stamp.Apply(&x, []byte(body))
		b.Add(&x, []byte(body))
	}
	return b
}

// doubles is what a member knows of the topic's.
func (m *member) doubles(t testing.TB) topic.DedupStats {
	t.Helper()
	<-time.After(10 * time.Millisecond)
	synctest.Wait()
	incarnation, _ := m.machine.Incarnation("t")
	return m.node.Shard(0).dedupStats(m.machine.Doubles(incarnation))
}

// TestClocksOfMembersMakeNoWindowLongerOrShorter: one is an hour ahead, one an hour behind,
// and the leader changes.
func TestClocksOfMembersMakeNoWindowLongerOrShorter(t *testing.T) {
	ahead := []time.Duration{0, time.Hour, -time.Hour}
	for first := range 3 {
		for again := range 3 {
			withSet(t, 3, func(t *testing.T, s *set) {
				publish := func(n int, bodies ...string) {
					must(t, s.members[n].node.Publish("t", s.members[n].onceAt(ahead[n], bodies...)))
				}
				s.lead(s.members[0], 0)
				s.members[0].published(t, "first")
				s.members[0].configure(t, `{"dedup_window": "2m", "dedup_from": "body"}`)
				publish(first, "a")
				<-time.After(50 * time.Second)
				publish(again, "b", "a")
				s.lead(s.members[1], 0)
				<-time.After(50 * time.Second)
				publish(first, "a", "b")
				s.lead(s.members[2], 0)
				<-time.After(19 * time.Second)
				publish(again, "a")
				<-time.After(2 * time.Second)
				publish(first, "b")
				publish(again, "a") // the window has passed
				s.wantStored(t, "first", "a", "b", "a")
				oldest := s.members[2].doubles(t).Oldest
				if age := time.Duration(s.members[0].clock.Wall() - oldest); age < 70*time.Second || age > 72*time.Second {
					t.Errorf("b came %v ago", age)
				}
			})
		}
	}
}

// TestTheTimeOfAShardGoesOnUnderItsNextLeader, whatever the clock of that says.
func TestTheTimeOfAShardGoesOnUnderItsNextLeader(t *testing.T) {
	const second, hour = int64(time.Second), int64(time.Hour)
	var leader, behind, ahead timeline
	if now := leader.now(100 * hour); now != 100*hour {
		t.Errorf("it begins at %d", now)
	}
	leader.reach(100*hour, 100*hour)
	behind.follow(100*hour, 99*hour+second) // applied after a second
	ahead.follow(100*hour, hour)
	for _, passed := range []int64{second, 5 * hour, 50 * hour} {
		said := leader.now(100*hour + passed)
		if said != 100*hour+passed {
			t.Fatalf("after %v it is %d", time.Duration(passed), said)
		}
		leader.reach(said, 100*hour+passed+second/2) // its own entry is agreed on
		behind.follow(said, 99*hour+passed+second/4)
		ahead.follow(said, hour+passed+passed/100) // a clock that goes too fast
		if now := ahead.now(hour + passed + passed/100 + second); now != said+second {
			t.Errorf("at a member that is fast it is %v later", time.Duration(now-said))
		}
		if now := behind.now(99*hour + passed + second); now < said || now > said+second {
			t.Errorf("at another member it is %v later", time.Duration(now-said))
		}
	}
	if now := leader.now(150*hour + second); now != 150*hour+second {
		t.Errorf("it went back to %d", now)
	}
}

// TestNodesThatStartKnowWhatTimeHasPassedInWhichNothingHappened: one of them leads next, after
// the others saw the time go by, or all that were up are gone.
func TestNodesThatStartKnowWhatTimeHasPassedInWhichNothingHappened(t *testing.T) {
	for starting := 1; starting <= 3; starting++ {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			s.members[0].published(t, "first")
			s.members[0].configure(t, `{"dedup_window": "10m", "dedup_from": "body"}`)
			s.members[0].publishedOnce(t, "a")
			<-time.After(time.Minute)
			s.members[0].publishedOnce(t, "b")
			entries := s.taken()
			<-time.After(10*time.Minute - time.Second)
			if n := s.taken() - entries; n < 9 || n > 10 {
				t.Errorf("%d entries", n)
			}
			s.depose(0)
			for _, m := range s.members[3-starting:] {
				m.node.Close()
				m.start(2)
			}
			s.lead(s.members[2], 0)
			s.members[1].publishedOnce(t, "b", "a")
			<-time.After(time.Minute)
			s.members[2].publishedOnce(t, "b")
			s.wantStored(t, "first", "a", "b", "a", "b")
			s.members[2].configure(t, `{"dedup_window": "0s"}`)
			<-time.After(time.Hour)
			entries = s.taken()
			<-time.After(time.Hour)
			if n := s.taken() - entries; n > 0 {
				t.Errorf("%d entries where nothing is known", n)
			}
		})
	}
}

// TestFewerIDsAreKnownAtOnceOnAllMembers where that is set, or as settings are reset, and
// none where doubles are not to be known.
func TestFewerIDsAreKnownAtOnceOnAllMembers(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		m := s.members[1]
		want := func(ids int, evicted uint64) {
			t.Helper()
			for _, m := range s.members {
				if d := m.doubles(t); d.IDs != ids || d.Evicted != evicted || ids == 0 && d.Bytes != 0 {
					t.Errorf("member %d: %+v, want %d, %d", m.id, d, ids, evicted)
				}
			}
		}
		m.configure(t, `{"dedup_window": "1h", "dedup_from": "body", "dedup_max_ids": 1500000}`)
		var bodies []string
		for i := range 200 {
			bodies = append(bodies, fmt.Sprint(i))
		}
		m.publishedOnce(t, bodies...)
		want(200, 0)
		m.configure(t, `{"max_age": "1h"}`)
		want(200, 0)
		m.configure(t, `{"dedup_max_ids": 150}`)
		want(150, 50)
		m.publishedOnce(t, "49", "50", "199") // 49 is known no more, and afterwards 50 is not
		want(150, 51)
		<-time.After(time.Minute)
		m.publishedOnce(t, "later")
		m.configure(t, `{"dedup_window": "30s"}`)
		want(1, 52)
		m.configure(t, `{"dedup_window": null, "dedup_from": null}`)
		want(0, 0)
		m.configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
		m.publishedOnce(t, "later")
		stored := append(append([]string{"first"}, bodies...), "49", "later", "later")
		if got := s.members[2].stored(t, "t"); !slices.Equal(got, stored) {
			t.Errorf("%q", got[min(len(got), 195):])
		}
	})
}

// TestDoublesNeedNoRoom: what is stored is OK'd again by a full topic, and on full disks.
func TestDoublesNeedNoRoom(t *testing.T) {
	for through := range 3 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			m := s.members[through]
			m.published(t, "first")
			m.configure(t, `{"dedup_window": "1h", "dedup_from": "body", "max_messages": 3}`)
			s.members[0].subscribe(t, "c")
			m.publishedOnce(t, "a", "b")
			m.publishedOnce(t, "b", "a", "b")
			wantFull(t, m.node.Publish("t", m.onceAt(0, "a", "c")), 3)
			m.configure(t, `{"max_messages": 4}`)
			m.publishedOnce(t, "a", "c", "b")
			wantFull(t, m.node.Publish("t", m.onceAt(0, "a", "d")), 4)
			m.configure(t, `{"max_messages": null}`)
			full := errors.New("the disks are full")
			m.node.Refuse(full)
			known := s.members[0].doubles(t).Found
			m.publishedOnce(t, "c", "b", "a", "a")
			b := m.onceAt(0, "a", "b")
			b.AskFirst()
			must(t, m.node.Publish("t", b))
			if !slices.Equal(b.Doubles(), []int{0, 1}) {
				t.Errorf("doubles are %v", b.Doubles())
			}
			if found := s.members[0].doubles(t).Found - known; found != 6 { // at the leader
				t.Errorf("through member %d %d doubles are counted", through, found)
			}
			for _, bodies := range [][]string{{"d"}, {"a", "d"}} {
				if err := m.node.Publish("t", m.onceAt(0, bodies...)); !errors.Is(err, full) {
					t.Errorf("%q: %v", bodies, err)
				}
			}
			m.node.Refuse(nil)
			m.publishedOnce(t, "d")
			s.wantStored(t, "first", "a", "b", "c", "d")
		})
	}
}

// TestWhatAMemberThatIsBehindTakesForADoubleIsNotOKd while nothing may be published: others
// were told that the topic is set otherwise.
func TestWhatAMemberThatIsBehindTakesForADoubleIsNotOKd(t *testing.T) {
	for _, now := range []string{`{"dedup_window": "1s"}`, `{"dedup_window": "0s"}`, `{"dedup_from": "json:/id"}`} {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			s.members[0].published(t, "first")
			s.members[0].configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
			s.members[0].publishedOnce(t, "a")
			<-time.After(2 * time.Second)
			late := s.members[2]
			late.setLag(true)
			s.members[0].configure(t, now)
			full := errors.New("the disks are full")
			late.node.Refuse(full)
			r := beside(func() error { return late.node.Publish("t", late.onceAt(0, "a")) })
			<-time.After(time.Second)
			r.wantWaiting(t)
			late.setLag(false)
			r.want(t, full)
			s.wantStored(t, "first", "a")
		})
	}
}

// TestDoublesAreStoredOnceThroughAnyNode, by publishers at all nodes that send the same at
// a time, while the leader changes and some of what it proposed is lost.
func TestDoublesAreStoredOnceThroughAnyNode(t *testing.T) {
	for keep := range 3 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			s.members[0].published(t, "first")
			s.members[1].configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
			s.members[0].publishedOnce(t, "a", "b", "a")
			var all sync.WaitGroup
			for i := range 6 {
				all.Go(func() {
					for n := range 20 {
						s.members[i%3].publishedOnce(t, fmt.Sprint(n), "b", fmt.Sprint(n+1))
					}
				})
			}
			s.lead(s.members[1], keep)
			s.lead(s.members[2], keep)
			all.Wait()
			s.members[0].publishedOnce(t, "a", "7")
			seen := make(map[string]int)
			for _, body := range s.members[0].stored(t, "t") {
				if seen[body]++; seen[body] > 1 {
					t.Errorf("%q is there %d times", body, seen[body])
				}
			}
			if len(seen) != 24 { // first, a, b, and 0 to 20
				t.Errorf("%d messages are there", len(seen))
			}
			s.wantStored(t, s.members[0].stored(t, "t")...)
			top, err := s.members[2].node.Topic("t", false)
			must(t, err)
			if d, ok := top.DedupStats(); !ok || d.IDs != 23 || d.Found == 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestATopicThatIsMadeAnewKnowsNoIDs of the one that had its name.
func TestATopicThatIsMadeAnewKnowsNoIDs(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		for range 2 {
			s.members[0].published(t, "first")
			s.members[0].configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
			s.members[1].publishedOnce(t, "a", "b", "a")
			s.members[2].publishedOnce(t, "b")
			s.wantStored(t, "first", "a", "b")
			s.members[2].ask(t, Request{Op: state.DeleteTopic, Everywhere: true})
		}
	})
}
