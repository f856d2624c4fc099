package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/channel"
)

// breakLink has two nodes have another link: what was on its way over the one before is lost.
func (s *set) breakLink(i, j int) {
	s.nodes[i].disconnect(s.nodes[j])
	s.connect(i, j)
}

// state is what a channel has, in short.
func (s *set) state() string {
	st := s.channel(testTopic, testChannel)
	return fmt.Sprintf("%d wait, %d in flight, %d deferred", st.Depth, st.InFlight, st.Deferred)
}

func TestLinkThatBreaksTakesNothingAwayFromClients(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		holder := s.nodes[1].subscribe(testChannel, 5)
		s.publish(testTopic, "a", "b", "c", "d", "e")
		want(t, "before", holder.received(), "a b c d e")
		eager := s.nodes[2].subscribe(testChannel, 10)
		thaw := s.nodes[1].freeze() // so that these answers are lost with the link
		if err := errors.Join(holder.finish("a"), holder.answer(channel.Requeue, time.Minute, "b"), holder.answer(channel.Requeue, 0, "c")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		thaw()
		s.nodes[1].disconnect(s.nodes[0])
		want(t, "others, while there is no link", eager.received(), "")
		if err := holder.finish("d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(awayWithin / 2)
		want(t, "others, after a while", eager.received(), "")
		s.connect(0, 1)
		synctest.Wait()
		want(t, "all, over the next link", holder.received()+eager.received(), "c/2")
		want(t, "the channel", s.state(), "0 wait, 2 in flight, 1 deferred")
		time.Sleep(2 * awayWithin)
		want(t, "all, later", holder.received()+eager.received(), "")
		if err := holder.finish("e"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, "the channel, at the end", s.state(), "0 wait, 1 in flight, 1 deferred")
		select {
		case a := <-holder.failed:
			t.Fatalf("%+v", a)
		case <-holder.closed:
			t.Fatal("the client was closed")
		default:
		}
	})
}

func TestWhatIsHeldOutlivesManyLinks(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		holder := s.nodes[1].subscribe(testChannel, 3, func(o *broker.SubscribeOptions) { o.MsgTimeout = 30 * time.Second })
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", holder.received(), "a b c")
		eager := s.nodes[2].subscribe(testChannel, 10)
		for range 10 {
			s.breakLink(0, 1)
			want(t, "others", eager.received(), "")
			time.Sleep(time.Second)
		}
		want(t, "the channel", s.state(), "0 wait, 3 in flight, 0 deferred")
		holder.k.SetReady(0)
		time.Sleep(30 * time.Second) // the client says nothing of them: they time out
		want(t, "others, in the end", eager.received(), "a/2 b/2 c/2")
	})
}

func TestMessagesOfALostLinkGoToOthersInTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		away := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", away.received(), "a b c")
		near := s.nodes[2].subscribe(testChannel, 2)
		s.nodes[1].disconnect(s.nodes[0])
		time.Sleep(awayWithin - time.Millisecond)
		want(t, "near, as long as they may come back", near.received(), "")
		time.Sleep(time.Millisecond)
		want(t, "near", near.received(), "a/2 b/2")
		s.connect(0, 1)
		synctest.Wait()
		// What nobody got meanwhile is still the first client's.
		if err := away.finish("c"); err != nil {
			t.Fatal(err)
		}
		if err := away.finish("a"); !errors.Is(err, channel.ErrNotInFlight) {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, "the channel", s.state(), "0 wait, 2 in flight, 0 deferred")
		select {
		case <-away.closed:
			t.Fatal("the client was closed")
		default:
		}
	})
}

func TestAbsenceThatBeginsAnewIsAsLongAsAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		away := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", away.received(), "a b c")
		near := s.nodes[2].subscribe(testChannel, 5)
		s.nodes[1].disconnect(s.nodes[0])
		time.Sleep(awayWithin - time.Millisecond)
		s.breakLink(0, 1)
		s.nodes[1].disconnect(s.nodes[0])
		time.Sleep(awayWithin - time.Millisecond)
		want(t, "near", near.received(), "")
		time.Sleep(time.Millisecond)
		want(t, "near, in the end", near.received(), "a/2 b/2 c/2")
	})
}

func TestWhatNobodyClaimsGoesToOthersAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		leaves, stays := s.nodes[1].subscribe(testChannel, 1), s.nodes[1].subscribe(testChannel, 0)
		s.publish(testTopic, "a", "b", "c")
		want(t, "who leaves", leaves.received(), "a")
		stays.k.SetReady(1)
		want(t, "who stays", stays.received(), "b")
		near := s.nodes[2].subscribe(testChannel, 0)
		s.nodes[1].disconnect(s.nodes[0])
		leaves.k.Close()
		near.k.SetReady(5)
		want(t, "while there is no link", near.received(), "c")
		s.connect(0, 1)
		want(t, "over the next one", near.received(), "a/2")
		want(t, "who stays", stays.received(), "")
	})
}

// A client gets what was on its way to it when the link broke, or waited with its node.
func TestWhatWasLostWithALinkIsDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 5)
		c.mu.Lock()
		c.stuck = true
		c.mu.Unlock()
		s.publish(testTopic, "a", "b")
		synctest.Wait()
		s.breakLink(0, 1)
		synctest.Wait()
		c.mu.Lock()
		c.stuck = false
		c.mu.Unlock()
		c.take()
		want(t, "over the next link", c.received(), "a/2 b/2")
	})
}

func TestEphemeralChannelStaysWhileItsConsumersAreAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe("e#ephemeral", 1)
		s.publish(testTopic, "a", "b")
		want(t, "before", c.received(), "a")
		s.nodes[1].disconnect(s.nodes[0])
		time.Sleep(awayWithin / 2)
		s.publish(testTopic, "c")
		s.connect(0, 1)
		synctest.Wait()
		if err := c.finish("a"); err != nil {
			t.Fatal(err)
		}
		want(t, "what came meanwhile", c.received(), "b")
		c.k.SetReady(5)
		want(t, "all of it", c.received(), "c")
		s.nodes[1].disconnect(s.nodes[0])
		c.k.Close()
		time.Sleep(awayWithin)
		synctest.Wait()
		tp, _ := s.store.Existing(testTopic)
		if _, ok := tp.ExistingChannel("e#ephemeral"); ok {
			t.Fatal("the channel outlives its last consumer")
		}
	})
}

func TestLeaderThatGoesWhileConsumersAreAwayLetsGoOfThem(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", c.received(), "a b c")
		s.nodes[1].disconnect(s.nodes[0])
		s.lead(2)
		eager := s.nodes[2].subscribe(testChannel, 10)
		want(t, "others", eager.received(), "")
		time.Sleep(2 * awayWithin)
		if err := c.finish("a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, "the channel", s.state(), "0 wait, 0 in flight, 0 deferred")
	})
}

func TestLeaderThatIsNotHeardOfForAMomentKeepsItsConsumers(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		holder := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", holder.received(), "a b c")
		eager := s.nodes[2].subscribe(testChannel, 10)
		k := holder.k.(*Consumer)
		if !isSettled(k.Settle()) || !k.Settled() {
			t.Fatal("not settled while the leader is heard of")
		}
		s.nodes[1].relay.Leader(7, 0, s.term)
		want(t, "others, when it is not", eager.received(), "")
		if err := holder.finish("a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, "the channel", s.state(), "0 wait, 2 in flight, 0 deferred")
		if k.Settled() {
			t.Error("it counts as leading though it is not heard of")
		}
		time.Sleep(withoutLeader - time.Millisecond)
		s.nodes[1].relay.Leader(7, 1, s.term)
		time.Sleep(withoutLeader)
		want(t, "others, in the end", eager.received(), "")
		want(t, "the channel, in the end", s.state(), "0 wait, 2 in flight, 0 deferred")
		if !k.Settled() {
			t.Error("it does not count as leading though it is heard of again")
		}
		s.nodes[1].relay.Leader(7, 0, s.term)
		time.Sleep(withoutLeader)
		<-holder.closed
	})
}

// TestOrderHoldsOverLinksThatBreak has each message of an ordered channel come when the one
// before it is done, once, whatever links do.
func TestOrderHoldsOverLinksThatBreak(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		const messages = 300
		random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
		clients := []*client{s.nodes[1].subscribe(testChannel, 1), s.nodes[2].subscribe(testChannel, 1), s.nodes[0].subscribe(testChannel, 1)}
		tp, _ := s.store.Existing(testTopic)
		if err := tp.ConfigureChannel(testChannel, []byte(`{"ordered": "channel"}`)); err != nil {
			t.Fatal(err)
		}
		for n := range messages {
			s.publish(testTopic, fmt.Sprintf("%04d", n))
		}
		apart := [3]bool{}
		for next := 0; next < messages; {
			for node := 1; node <= 2; node++ {
				switch n := random.IntN(10); {
				case apart[node]:
					s.connect(0, node)
					apart[node] = false
				case n < 2:
					s.nodes[0].disconnect(s.nodes[node])
					apart[node] = true
				case n < 4:
					s.breakLink(0, node)
				}
			}
			synctest.Wait()
			for i, c := range clients {
				c.mu.Lock()
				got := c.got
				c.got = nil
				c.mu.Unlock()
				for _, body := range got {
					if wanted := fmt.Sprintf("%04d", next); body[:4] != wanted {
						t.Fatalf("client %d got %s, want %s", i, body, wanted)
					}
					next++
					time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
					thaw := func() {}
					if i < 2 && random.IntN(3) == 0 {
						thaw = s.nodes[i+1].freeze() // the answer is lost with the link
					}
					if err := c.finish(body[:4]); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					thaw()
					if i < 2 && !apart[i+1] && random.IntN(2) == 0 {
						s.breakLink(0, i+1)
					}
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestFormerLeaderThatHasNotHeardOfTheNextGivesAwayNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		holder := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", holder.received(), "a b c")
		eager := s.nodes[0].subscribe(testChannel, 10)
		s.nodes[1].relay.Leader(7, s.nodes[2].member(), s.term+1) // the others have yet to hear
		synctest.Wait()
		want(t, "others, from the former leader", eager.received(), "")
		s.lead(2)
		synctest.Wait()
		want(t, "all, from the next one", holder.received()+eager.received(), "")
		if err := holder.finish("a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, "the channel, at the end", s.state(), "0 wait, 0 in flight, 0 deferred")
	})
}

// A consumer does not give up its place in a former term: so none is taken for it any more.
func TestPlaceInAFormerTermIsNotTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		open := func(number, term uint64) *joining {
			f := &openFrame{term: term, consumer: number, window: window, generation: 1, ready: 10, topic: testTopic, channel: testChannel}
			return &joining{at: place{2, number}, frame: f}
		}
		s.publish(testTopic, "a")
		if s.nodes[0].relay.takeUp(open(1, s.term-1)) {
			t.Error("a leader takes who asks for a place in a former term")
		}
		if !s.nodes[2].relay.takeUp(open(2, s.term+1)) {
			t.Error("a node that is about to lead refuses who has heard of it before")
		}
		s.term++ // it did not come to serve in that term
		s.lead(2)
		eager := s.nodes[0].subscribe(testChannel, 10)
		want(t, "the client that is there", eager.received(), "a")
	})
}
