package serve

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/message"
)

// stampedBatch is a batch of messages with what their bodies say, as far as the member
// knows; several are an MPUB.
func (m *member) stampedBatch(bodies ...string) *diskqueue.Batch {
	b := new(diskqueue.Batch)
	stamp := m.node.Stamp("t").Begin(b)
	if len(bodies) > 1 {
		b.BeginMulti()
		defer b.EndMulti()
	}
	for _, body := range bodies {
		x := message.Meta{Timestamp: m.clock.Wall()}
		stamp.Apply(&x, []byte(body))
		b.Add(&x, []byte(body))
	}
	return b
}

// keys are those of the messages in the log of the topic t, in order.
func (m *member) keys(t testing.TB) (keys []string) {
	t.Helper()
	<-time.After(10 * time.Millisecond)
	synctest.Wait()
	incarnation, _ := m.machine.Incarnation("t")
	v, err := m.machine.Topic(incarnation)
	must(t, err)
	defer v.Release()
	r := v.Log.NewReader()
	for seq := v.Log.Start(); seq < v.Next; seq++ {
		x, err := r.Read(seq)
		must(t, err)
		keys = append(keys, string(x.Key()))
		r.Release()
	}
	return keys
}

// behind has a set whose member 2 has not applied what was set of the topic last: before,
// and then now.
func behind(t *testing.T, before, now string, test func(s *set, late *member)) {
	t.Helper()
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		if before != "" {
			s.members[0].configure(t, before)
		}
		<-time.After(10 * time.Millisecond)
		late := s.members[2]
		late.setLag(true)
		s.members[0].configure(t, now)
		test(s, late)
	})
}

// TestKeysAreFoundThroughAMemberThatIsBehind by the settings that were OK'd, and none by
// those before.
func TestKeysAreFoundThroughAMemberThatIsBehind(t *testing.T) {
	for _, c := range []struct{ before, now, want string }{
		{"", `{"key_from": "json:/a"}`, "1"},
		{`{"key_from": "json:/b"}`, `{"key_from": "json:/a"}`, "1"},
		{`{"key_from": "json:/b"}`, `{"key_from": null}`, ""},
		{`{"key_from": "json:/a"}`, `{"max_messages": 10}`, "1"},
	} {
		behind(t, c.before, c.now, func(s *set, late *member) {
			b := late.stampedBatch(`{"a": 1, "b": 2}`)
			r := beside(func() error { return late.node.Publish("t", b) })
			said := new(diskqueue.Batch)
			late.node.Stamp("t").Begin(said)
			said.Add(&message.Meta{Timestamp: 1, Key: []byte("2")}, []byte(`{"a": 1, "b": 2}`))
			saying := beside(func() error { return late.node.Publish("t", said) })
			<-time.After(time.Second)
			r.wantWaiting(t)
			late.setLag(false)
			<-time.After(retryAfter + 20*time.Millisecond)
			r.want(t, nil)
			saying.want(t, nil)
			if got := s.members[0].keys(t); !slices.Equal(got, []string{"", c.want, "2"}) {
				t.Errorf("%s: keys are %q", c.now, got)
			}
		})
	}
}

// TestDoublesAreFoundThroughAMemberThatIsBehind, with the ids and numbers that publishers
// are told, and an MPUB as a whole.
func TestDoublesAreFoundThroughAMemberThatIsBehind(t *testing.T) {
	behind(t, "", `{"dedup_window": "1h", "dedup_from": "body"}`, func(s *set, late *member) {
		must(t, s.members[1].node.Publish("t", s.members[1].stampedBatch("a", "b")))
		b := late.stampedBatch("c", "a", "d", "c")
		b.AskFirst()
		r := beside(func() error { return late.node.Publish("t", b) })
		<-time.After(time.Second)
		late.setLag(false)
		<-time.After(retryAfter + 20*time.Millisecond)
		r.want(t, nil)
		if !slices.Equal(b.Doubles(), []int{1, 3}) || b.Len() != 2 || b.First() == 0 {
			t.Errorf("doubles are %v, and %d are there, from %d on", b.Doubles(), b.Len(), b.First())
		}
		s.wantStored(t, "first", "a", "b", "c", "d")
	})
}

// TestDoublesAreFoundInWhatCameBeforeAMemberHeard that they are left out, as what is published
// through one that has just started, and is connected to nobody, does.
func TestDoublesAreFoundInWhatCameBeforeAMemberHeard(t *testing.T) {
	for through := range 3 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			s.members[0].published(t, "first")
			s.members[0].configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
			must(t, s.members[1].node.Publish("t", s.members[1].stampedBatch("a", "b")))
			<-time.After(10 * time.Millisecond)
			m := s.members[through]
			m.node.o.Deduplicable = func() bool { return false }
			found := m.stampedBatch("c", "a")
			said := new(diskqueue.Batch)
			m.node.Stamp("t").Begin(said)
			id := message.MakeDedupID([]byte("b"))
			said.Add(&message.Meta{Timestamp: 1, DedupID: &id}, []byte("another body"))
			m.node.o.Deduplicable = nil
			for _, b := range []*diskqueue.Batch{found, said} {
				must(t, m.node.Publish("t", b))
			}
			s.wantStored(t, "first", "a", "b", "c")
		})
	}
}

// TestWhoHasStillToHearThatDoublesAreLeftOutAsksRarely whether what it has is taken, though the
// leader refuses it at once, and has it taken when it has heard.
func TestWhoHasStillToHearThatDoublesAreLeftOutAsksRarely(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		s.members[0].configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
		<-time.After(10 * time.Millisecond)
		var frames atomic.Int32
		s.lossy = func(uint64, uint64) bool { frames.Add(1); return false }
		var heard atomic.Bool
		late := s.members[1]
		late.node.o.Deduplicable = heard.Load
		var results []*result
		for _, b := range []*diskqueue.Batch{late.stampedBatch("a"), late.stampedBatch("b", "a")} {
			results = append(results, beside(func() error { return late.node.Publish("t", b) }))
		}
		<-time.After(time.Second)
		for _, r := range results {
			r.wantWaiting(t)
		}
		if n, most := int(frames.Load()), 4*int(time.Second/retryAfter); n > most {
			t.Errorf("%d frames are sent in a second, want %d at most", n, most)
		}
		heard.Store(true)
		<-time.After(retryAfter + 20*time.Millisecond)
		for _, r := range results {
			r.want(t, nil)
		}
		s.wantStored(t, "first", "a", "b")
	})
}

// TestLeaderThatHasNotHeardTakesWhatOthersKnow, and leaves out no doubles by itself.
func TestLeaderThatHasNotHeardTakesWhatOthersKnow(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		leader := s.members[0]
		s.lead(leader, 0)
		leader.published(t, "first")
		leader.configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
		<-time.After(10 * time.Millisecond)
		leader.node.o.Deduplicable = func() bool { return false }
		for _, m := range []*member{s.members[1], leader, s.members[1]} {
			must(t, m.node.Publish("t", m.stampedBatch("a")))
		}
		s.wantStored(t, "first", "a", "a")
	})
}

// TestBatchThatWasBegunBeforeIsStampedAnew where it goes out behind a change, at whatever
// member.
func TestBatchThatWasBegunBeforeIsStampedAnew(t *testing.T) {
	for through := range 3 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			m := s.members[through]
			m.published(t, "first")
			b := m.stampedBatch(`{"a": 1}`, `{"a": 2}`)
			asIs := batchOf(`{"a": 3}`)
			m.configure(t, `{"key_from": "json:/a"}`)
			begun := time.Now()
			must(t, m.node.Publish("t", b))
			if took := time.Since(begun); took >= retryAfter {
				t.Errorf("it took %v", took)
			}
			must(t, m.node.Publish("t", asIs))
			if got := m.keys(t); !slices.Equal(got, []string{"", "1", "2", ""}) {
				t.Errorf("keys are %q", got)
			}
		})
	}
}

// TestOlderMembersPartsAreTakenAsTheyAre, for they do not say by which settings.
func TestOlderMembersPartsAreTakenAsTheyAre(t *testing.T) {
	behind(t, "", `{"key_from": "json:/a"}`, func(s *set, late *member) {
		late.node.o.Stampable = func() bool { return false }
		b := late.stampedBatch(`{"a": 1}`)
		r := beside(func() error { return late.node.Publish("t", b) })
		<-time.After(time.Second)
		late.setLag(false)
		<-time.After(time.Second)
		r.want(t, nil)
		s.wantStored(t, "first", `{"a": 1}`)
	})
}

// TestEveryMessageHasItsKeyOnceASettingIsOK, through members that are behind by turns, while
// leaders change and frames are lost; each publisher's order stays.
func TestEveryMessageHasItsKeyOnceASettingIsOK(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "first")
		n := 0
		s.mu.Lock()
		s.lossy = func(uint64, uint64) bool { n++; return n%7 == 0 }
		s.mu.Unlock()
		for round, key := range []string{"a", "b", "a", "b"} {
			late := s.members[(round+2)%3]
			late.setLag(late != s.leader)
			s.members[0].configure(t, fmt.Sprintf(`{"key_from": "json:/%s"}`, key))
			from := len(s.leader.keys(t))
			var all sync.WaitGroup
			for i, m := range s.members {
				all.Go(func() {
					for j := range 5 {
						must(t, m.node.Publish("t", m.stampedBatch(fmt.Sprintf(`{"a": "a%d", "b": "b%d", "j": %d}`, i, i, j))))
					}
				})
			}
			<-time.After(100 * time.Millisecond)
			late.setLag(false)
			s.lead(s.members[round%3], round%2)
			all.Wait()
			keys := s.leader.keys(t)[from:]
			bodies := s.leader.stored(t, "t")[from:]
			next := make(map[string]int)
			for k, got := range keys {
				if got[:1] != key || bodies[k][len(bodies[k])-2:] != fmt.Sprint(next[got], "}") {
					t.Errorf("%s has the key %q, %d of it were before", bodies[k], got, next[got])
				}
				next[got]++
			}
			if len(keys) != 15 {
				t.Errorf("%d are there", len(keys))
			}
		}
	})
}
