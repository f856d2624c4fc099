package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
)

func isSettled(settled <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-settled:
		return true
	default:
		return false
	}
}

func TestNobodyIsToldThatThereIsNothingWhileNobodyLeads(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		var clients []*client
		for _, n := range s.nodes {
			clients = append(clients, n.subscribe(testChannel, 0))
		}
		for _, leader := range []int{1, 2, 0} {
			var settled []<-chan struct{}
			s.lead(-1)
			for _, c := range clients {
				settled = append(settled, c.k.(broker.Settler).Settle())
			}
			time.Sleep(time.Second)
			for i := range clients {
				if isSettled(settled[i]) {
					t.Fatalf("node %d, without a leader", i)
				}
			}
			s.lead(leader)
			for i, c := range clients {
				if !isSettled(settled[i]) || !isSettled(c.k.(broker.Settler).Settle()) {
					t.Fatalf("node %d, with a leader", i)
				}
			}
		}
	})
}

// The leader on a client's node has been deposed, and the consumer has not left it yet: it
// is busy.
func TestDeposedLeaderSaysNothingOfWhatThereIs(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		k := s.nodes[0].subscribe(testChannel, 0).k.(*Consumer)
		synctest.Wait() // until it is admitted
		k.taking.Lock()
		s.lead(-1)
		settled := k.Settle()
		select {
		case <-settled:
			t.Error("by a leader that has been deposed")
		default:
		}
		k.taking.Unlock()
		if isSettled(settled) {
			t.Fatal("by nobody")
		}
		s.lead(1)
		if !isSettled(settled) {
			t.Fatal("not by the next leader")
		}
	})
}

func TestWhatWasSaidIsSoForAsLongAsItsLeaderLeads(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		var consumers []*Consumer
		for _, n := range s.nodes[:2] {
			consumers = append(consumers, n.subscribe(testChannel, 0).k.(*Consumer))
		}
		settle := func() {
			t.Helper()
			for i, k := range consumers {
				if !isSettled(k.Settle()) || !k.Settled() {
					t.Fatalf("node %d: not while it leads", i)
				}
			}
		}
		settle()
		for _, k := range consumers {
			k.taking.Lock() // so they stay where they are
		}
		s.lead(-1)
		s.lead(2)
		for i, k := range consumers {
			if k.Settled() {
				t.Errorf("node %d: when another one leads", i)
			}
			k.taking.Unlock()
		}
		synctest.Wait()
		for i, k := range consumers {
			if k.Settled() {
				t.Errorf("node %d: when another one has taken it", i)
			}
		}
		settle()
	})
}

// The leader has been deposed after it has heard that a client asks for a sign, and before
// it looked for messages.
func TestDeposedLeaderGivesOtherNodesNoSign(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		s.nodes[1].subscribe(testChannel, 0)
		synctest.Wait()
		r := s.nodes[0].relay
		r.mu.Lock()
		var v *served
		for _, v = range r.served {
		}
		r.mu.Unlock()
		spend := func() int {
			v.mu.Lock()
			v.answers, v.asked = 1, true
			v.mu.Unlock()
			return len(v.spend(0, true))
		}
		if frames := spend(); frames != 1 {
			t.Fatalf("%d frames while it leads", frames)
		}
		s.lead(-1)
		if frames := spend(); frames != 0 {
			t.Fatalf("%d frames when it leads no longer", frames)
		}
	})
}

func TestWhatThereIsHasComeOnceAClientIsToldThatThereIsNoMore(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		clients := []*client{s.nodes[0].subscribe(testChannel, 0), s.nodes[1].subscribe(testChannel, 0)}
		for i, c := range clients {
			s.publish(testTopic, "a", "b")
			c.k.SetReady(5)
			<-c.k.(broker.Settler).Settle()
			if st := s.channel(testTopic, testChannel); st.InFlight != 2 && i > 0 { // of the leader's own it is there to be taken
				t.Fatalf("node %d: %+v", i, st)
			}
			want(t, "all", c.received(), "a b")
			if err := c.finish("a", "b"); err != nil {
				t.Fatal(err)
			}
			c.k.SetReady(0)
		}
	})
}

func TestNewLeaderSaysNothingOfWhatThereIsBeforeItMayGiveIt(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		clients := []*client{s.nodes[1].subscribe(testChannel, 0), s.nodes[2].subscribe(testChannel, 0)}
		thaw := s.nodes[0].freeze() // so it says nothing of what its clients hold
		s.lead(1)
		s.publish(testTopic, "a")
		for i, c := range clients {
			c.k.SetReady(1)
			settled := c.k.(broker.Settler).Settle()
			if isSettled(settled) {
				t.Fatalf("node %d, before the former leader has claimed anything", i+1)
			}
			if i == len(clients)-1 {
				thaw()
				s.nodes[0].disconnect(s.nodes[1])
			} else {
				c.k.SetReady(0)
				continue
			}
			if !isSettled(settled) {
				t.Fatalf("node %d, when it is gone", i+1)
			}
			want(t, "what waited", c.received(), "a")
		}
	})
}
