package serve

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestChangesRideWithWhatIsPublished: where much is published they take no entry of
// their own.
func TestChangesRideWithWhatIsPublished(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		<-time.After(time.Second)
		published, before := 0, s.taken()
		for range 200 {
			s.members[0].published(t, "m")
			published++
			k.finish(k.takeAll()...)
		}
		if n := s.taken() - before; n != published {
			t.Errorf("%d entries for %d publishes", n, published)
		}
		<-time.After(50 * time.Millisecond)
		s.wantDone(t, "c", published)
		k.Close()
	})
}

// TestChangesThatAreLostAreToldAgain: all of them, by whoever leads on.
func TestChangesThatAreLostAreToldAgain(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[0].published(t, numbered("", 10)...)
		<-time.After(time.Second)
		ds := k.takeAll()
		<-time.After(time.Second)
		s.hold(true)
		k.finish(ds[1], ds[3])
		<-time.After(time.Second)
		s.refuseProposals(t)
		k.finish(ds[5])
		s.hold(false)
		<-time.After(time.Second)
		s.wantDone(t, "c", 3)
		k.Close()
	})
}

// refuseProposals refuses what is proposed, though the leader goes on.
func (s *set) refuseProposals(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.proposals) == 0 {
		t.Error("nothing was proposed")
	}
	for _, p := range s.proposals {
		p.m.events <- func() { p.done(nil, errLost) }
	}
	s.proposals = nil
}

// TestChangesOfAnotherTermDoNotCount.
func TestChangesOfAnotherTermDoNotCount(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[0].published(t, "a", "b")
		<-time.After(time.Second)
		s.hold(true)
		k.finish(k.takeAll()...)
		<-time.After(time.Second)
		s.mu.Lock()
		late := s.proposals[0].data
		s.mu.Unlock()
		s.lead(s.members[1], 0)
		s.mu.Lock()
		s.append(agreed{term: s.term, data: late})
		s.mu.Unlock()
		s.hold(false)
		<-time.After(time.Second)
		s.wantDone(t, "c", 0)
		k.Close()
	})
}

func TestFlushCommitsWhatWasToldSoFar(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		k := s.members[0].subscribe(t, "c")
		s.members[0].published(t, "a", "b")
		<-time.After(time.Second)
		k.finish(k.takeAll()...)
		must(t, s.members[0].node.Flush(t.Context(), 0))
		must(t, s.members[1].node.Flush(t.Context(), 0)) // leads nothing
		synctest.Wait()
		s.wantDone(t, "c", 2)

		s.members[0].published(t, "c")
		k.finish(k.takeAll()...)
		s.hold(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.members[0].node.Flush(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		r := beside(func() error { return s.members[0].node.Flush(t.Context(), 0) })
		s.depose(0)
		r.want(t, errNotLeader)
		k.Close()
	})
}

// TestEphemeralChannelLivesAtTheLeader, and what it had is not had again.
func TestEphemeralChannelLivesAtTheLeader(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		s.lead(s.members[0], 0)
		s.members[0].published(t, "waits")
		k := s.members[0].subscribe(t, "c#ephemeral") // the first channel gets it
		s.members[0].published(t, "a")
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"waits", "a"}) {
			t.Errorf("%q", got)
		}
		<-time.After(50 * time.Millisecond)
		for _, m := range s.members {
			if st := m.passiveTopic(t); len(st.Channels) != 0 || st.FanOut < st.Start+2 {
				t.Errorf("node %d: %+v", m.id, st)
			}
		}
		s.lead(s.members[1], 0)
		s.members[0].published(t, "b")
		synctest.Wait()
		k.Close()
		k = s.members[1].subscribe(t, "c#ephemeral")
		if got := k.takeAll().bodies(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%q", got)
		}
		k.Close()
	})
}
