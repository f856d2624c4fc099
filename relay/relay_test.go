package relay

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/topic"
)

func TestClientOfAnyNodeConsumes(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		for _, n := range s.nodes {
			c := n.subscribe(testChannel, 2)
			s.publish(testTopic, "a", "b", "c")
			want(t, "with RDY 2", c.received(), "a b")
			if err := c.finish("a"); err != nil {
				t.Fatal(err)
			}
			want(t, "after a FIN", c.received(), "c")
			if err := c.finish("b", "c"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if st := s.channel(testTopic, testChannel); st.InFlight != 0 || st.Depth != 0 {
				t.Fatalf("%+v", st)
			}
			c.k.Close()
			synctest.Wait()
		}
	})
}

// TestHeadersComeThroughAnyNode to those who want them: from the node that serves the
// channel they come to all, who leave them out.
func TestHeadersComeThroughAnyNode(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		m := message.Meta{Key: []byte("k"), Headers: message.AppendHeader(nil, "a", "1")}
		said := string(message.AppendHeader(message.AppendHeader(nil, "key", "k"), "a", "1"))
		for i, n := range s.nodes {
			headed := n.subscribe("headed", 5, func(o *broker.SubscribeOptions) { o.Headers = true })
			plain := n.subscribe("plain", 5)
			s.publishWith(m, testTopic, "with")
			s.publish(testTopic, "without")
			want(t, "with headers", headed.received(), "with without")
			want(t, "without headers", plain.received(), "with without")
			if len(headed.said) != 1 || headed.said["with"] != said {
				t.Errorf("node %d: %q, want %q", i, headed.said, said)
			}
			if n != s.nodes[s.leader] && len(plain.said) != 0 {
				t.Errorf("node %d: %q were sent to who did not want them", i, plain.said)
			}
			for _, c := range []*client{headed, plain} {
				if err := c.finish("with", "without"); err != nil {
					t.Fatal(err)
				}
				c.k.Close()
			}
			synctest.Wait()
		}
	})
}

func TestNoLeaderIsNoticedByNoClient(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		clients := map[string]*client{}
		for i, n := range s.nodes {
			clients["c"+strconv.Itoa(i)] = n.subscribe("c"+strconv.Itoa(i), 5)
		}
		s.publish(testTopic, "a", "b", "c", "d", "e", "f", "g")
		for name, c := range clients {
			want(t, name, c.received(), "a b c d e")
			if err := c.finish("a"); err != nil {
				t.Fatal(err)
			}
			want(t, name, c.received(), "f")
			if err := c.answer(channel.Requeue, time.Minute, "b"); err != nil {
				t.Fatal(err)
			}
			want(t, name, c.received(), "g")
		}
		s.lead(-1) // before the journal had any of it
		for _, c := range clients {
			if err := errors.Join(c.finish("c"), c.answer(channel.Requeue, 0, "d"), c.answer(channel.Touch, 0, "e")); err != nil {
				t.Fatal(err)
			}
			if err := c.finish("c"); err != channel.ErrNotInFlight && !errors.Is(err, channel.ErrNotInFlight) {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		s.lead(1)
		for name, c := range clients {
			want(t, name, c.received(), "d/2") // and nothing twice
			if st := s.channel(testTopic, name); st.InFlight != 4 || st.Deferred != 1 || st.Depth != 0 {
				t.Fatalf("%s: %+v", name, st)
			}
		}
		time.Sleep(time.Minute - 3*time.Second + 100*time.Millisecond)
		for name, c := range clients {
			want(t, name, c.received(), "b/2") // d, e, f and g are with the clients for three seconds more
		}
	})
}

func TestNewLeaderWaitsForWhatClientsHold(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		holder := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", holder.received(), "a b c")
		eager := s.nodes[2].subscribe(testChannel, 10)
		for _, leader := range []int{2, 0, 1, 2} {
			s.lead(leader)
			want(t, "others", eager.received(), "")
		}
		if err := holder.finish("a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := s.channel(testTopic, testChannel); st.InFlight != 0 || st.Depth != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

func TestClientsOfANodeThatIsGoneAreNotWaitedForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		lost := s.nodes[1].subscribe(testChannel, 3)
		s.publish(testTopic, "a", "b", "c")
		want(t, "before", lost.received(), "a b c")
		eager := s.nodes[2].subscribe(testChannel, 10)
		s.lead(-1)
		frozen := s.nodes[1].freeze() // its link stands, but it says nothing
		defer frozen()
		s.lead(2)
		want(t, "at first", eager.received(), "")
		time.Sleep(claimsWithin)
		want(t, "then", eager.received(), "a b c")
	})
}

func TestAnswerThatFailsAtTheLeaderFailsLate(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 1, func(o *broker.SubscribeOptions) { o.MsgTimeout = time.Second })
		s.publish(testTopic, "a")
		want(t, "first", c.received(), "a")
		id := c.ids["a"]
		c.k.SetReady(0)
		time.Sleep(time.Second + 100*time.Millisecond) // it has timed out at the leader
		if err := c.finish("a"); err != nil {
			t.Fatal(err)
		}
		a := <-c.failed
		if a.ID != id || a.Op != channel.Finish || a.Err != channel.ErrNotInFlight {
			t.Fatalf("%+v", a)
		}
		if err := c.finish("a"); !errors.Is(err, channel.ErrNotInFlight) {
			t.Fatal(err) // now the node knows it too
		}
	})
}

func TestConsumersAreClosedWhenThereIsNoLeaderForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 1)
		s.lead(-1)
		time.Sleep(withoutLeader - time.Millisecond)
		synctest.Wait()
		select {
		case <-c.closed:
			t.Fatal("too early")
		default:
		}
		time.Sleep(time.Millisecond)
		<-c.closed
		begin := time.Now()
		if _, err := s.nodes[2].trySubscribe(testChannel, 1); err != errNoLeader || time.Since(begin) > withoutLeader {
			t.Fatalf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestDeletedChannelClosesClientsAnywhere(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		for _, n := range s.nodes {
			c := n.subscribe(testChannel, 1)
			tp, _ := s.store.Existing(testTopic)
			if err := tp.DeleteChannel(testChannel); err != nil {
				t.Fatal(err)
			}
			<-c.closed
			c.k.Close()
		}
	})
}

func TestRefusalsReachTheClient(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		for _, n := range s.nodes {
			_, err := n.relay.Subscribe("other", testChannel, false, broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute}})
			if err == nil || !strings.Contains(err.Error(), "--auto-create=false") {
				t.Fatal(err)
			}
			_, err = n.relay.Subscribe(testTopic, testChannel, true, broker.SubscribeOptions{
				Tail: true, ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute},
			})
			if err == nil {
				t.Fatal("a tail made a topic")
			}
		}
	})
}

func TestLowerReadyCountGivesBackWhatIsOnItsWay(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 0)
		c.mu.Lock()
		c.stuck = true
		c.mu.Unlock()
		c.k.SetReady(3)
		s.publish(testTopic, "a", "b", "c")
		synctest.Wait()
		if st := s.channel(testTopic, testChannel); st.InFlight != 3 {
			t.Fatalf("%+v", st)
		}
		c.k.SetReady(0)
		other := s.nodes[2].subscribe(testChannel, 10)
		want(t, "another client", other.received(), "a b c") // as if they had never been out
	})
}

// A client that leaves is not given anew what it gives back as it goes: that is no attempt.
func TestWhatAClientThatLeavesGivesBackIsNoAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		for range 50 {
			for name, leave := range map[string]func(c *client) error{
				"what is on its way": func(c *client) error { return nil },
				"what it was given": func(c *client) error {
					c.mu.Lock()
					c.stuck = false
					c.mu.Unlock()
					c.take()
					c.k.SetReady(0)
					return c.answer(channel.Return, 0, "a", "b", "c")
				},
			} {
				c := s.nodes[1].subscribe(testChannel, 0)
				synctest.Wait() // it has looked for messages
				c.mu.Lock()
				c.stuck = true
				c.mu.Unlock()
				c.k.SetReady(3)
				s.publish(testTopic, "a", "b", "c")
				synctest.Wait()
				if err := leave(c); err != nil {
					t.Fatal(err)
				}
				c.k.Close()
				other := s.nodes[2].subscribe(testChannel, 10)
				want(t, name, other.received(), "a b c")
				if err := other.finish("a", "b", "c"); err != nil {
					t.Fatal(err)
				}
				other.k.Close()
				synctest.Wait()
			}
		}
	})
}

func TestSlowClientBlocksNobodyElse(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		slow := s.nodes[1].subscribe(testChannel, 2500)
		slow.mu.Lock()
		slow.stuck = true
		slow.mu.Unlock()
		body := strings.Repeat("x", 8<<10)
		var bodies []string
		for i := range 1000 {
			bodies = append(bodies, strconv.Itoa(i)+body)
		}
		s.publish(testTopic, bodies...)
		synctest.Wait()
		if n := s.channel(testTopic, testChannel).InFlight; n > 2*window/(8<<10) {
			t.Fatalf("%d are on their way to a client that takes none", n)
		}
		quick := s.nodes[1].subscribe(testChannel, 2500)
		if got := len(strings.Fields(quick.received())); got < 1000-2*window/(8<<10) {
			t.Fatalf("the other client got %d", got)
		}
		slow.mu.Lock()
		slow.stuck = false
		slow.mu.Unlock()
		slow.take()
		if got := len(strings.Fields(slow.received())); got < window/(8<<10) {
			t.Fatalf("the slow client got %d", got)
		}
	})
}

func TestEphemeralChannelIsMadeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe("e#ephemeral", 5)
		s.publish(testTopic, "a", "b")
		want(t, "before", c.received(), "a b")
		s.lead(2)
		c.received()
		s.publish(testTopic, "c")
		if got := c.received(); !strings.Contains(got, "c") {
			t.Fatalf("after: %q", got)
		}
		c.k.Close()
		synctest.Wait()
		tp, _ := s.store.Existing(testTopic)
		if _, ok := tp.ExistingChannel("e#ephemeral"); ok {
			t.Fatal("the channel outlives its last consumer")
		}
	})
}

func TestBoundedChannelLeavesWithItsLastConsumer(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		s.publish(testTopic, "a", "b")
		tp, _ := s.store.Existing(testTopic)
		end, err := topic.ParsePosition("last", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = tp.CreateFrom("part", topic.Start{From: topic.Whole, Until: end, Leaves: true}); err != nil {
			t.Fatal(err)
		}
		c := s.nodes[1].subscribe("part", 5)
		want(t, "got", c.received(), "a b")
		if err := c.finish("a", "b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.k.Close()
		time.Sleep(time.Second)
		if _, ok := tp.ExistingChannel("part"); ok {
			t.Fatal("the channel outlives its last consumer")
		}
	})
}

func TestAnswerThatMeetsTheEndOfALeaderIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 5)
		s.publish(testTopic, "a", "b")
		want(t, "before", c.received(), "a b")
		thaw := s.nodes[1].freeze()
		if err := c.finish("a", "b"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		k := c.k.(*Consumer)
		k.answered(k.number, 2, []failure{{0, codeExiting}, {1, codeExiting}})
		thaw()
		s.lead(2)
		want(t, "after", c.received(), "")
		if st := s.channel(testTopic, testChannel); st.InFlight != 0 || st.Depth != 0 {
			t.Fatalf("%+v", st)
		}
		select {
		case a := <-c.failed:
			t.Fatalf("%+v", a)
		default:
		}
	})
}

func TestConsumersAreTheNodesOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		c := s.nodes[1].subscribe(testChannel, 5)
		s.publish(testTopic, "a", "b")
		c.received()
		if err := c.finish("a"); err != nil {
			t.Fatal(err)
		}
		got := s.nodes[1].relay.Consumers(testTopic, testChannel)
		wanted := channel.ConsumerStats{ID: 42, Ready: 5, InFlight: 1, MessageCount: 2, FinishCount: 1}
		if len(got) != 1 || got[0] != wanted {
			t.Fatalf("%+v", got)
		}
		if got := s.nodes[0].relay.Consumers(testTopic, testChannel); len(got) != 0 {
			t.Fatalf("the leader's: %+v", got)
		}
	})
}

func TestWhatAClientDidBeforeItLeftIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		for i, leave := range []func(c *client){
			func(c *client) { // while a leader is there, of which nothing is kept
				c.k.Close()
				s.lead(2)
			},
			func(c *client) { // while none is
				s.lead(-1)
				c.k.Close()
				s.lead(0)
			},
			func(c *client) { // when one has just come
				s.lead(1)
				c.k.Close()
			},
		} {
			for _, n := range s.nodes {
				name := "c" + strconv.Itoa(i) + strconv.Itoa(n.index)
				c := n.subscribe(name, 5)
				s.publish(testTopic, "a", "b", "c")
				want(t, name, c.received(), "a b c")
				if err := errors.Join(c.finish("a"), c.answer(channel.Requeue, time.Minute, "b")); err != nil {
					t.Fatal(err)
				}
				leave(c)
				other := n.subscribe(name, 5)
				if got := other.received(); got != "c" && got != "c/2" {
					t.Fatalf("%s: another client got %q", name, got)
				}
				other.k.Close()
			}
		}
	})
}

func TestNodeThatDoesNotServeYetIsAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, s *set) {
		clients := []*client{s.nodes[0].subscribe("c0", 5), s.nodes[1].subscribe("c1", 5)}
		s.publish(testTopic, "a")
		for _, c := range clients {
			want(t, "before", c.received(), "a")
		}
		s.mu.Lock()
		s.busy = true
		s.mu.Unlock()
		s.lead(0)
		time.Sleep(time.Second)
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
		time.Sleep(2 * attachAgain)
		s.publish(testTopic, "b")
		for _, c := range clients {
			want(t, "after", c.received(), "b")
		}
		s.mu.Lock()
		s.busy = true
		s.mu.Unlock()
		s.lead(0)
		time.Sleep(withoutLeader + 2*attachAgain)
		for _, c := range clients {
			<-c.closed
		}
	})
}
