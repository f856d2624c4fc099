package lease

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/state"
	"qmq/test/node"
)

// faraway are replicated topics that another node serves, which is a broker beside it.
type faraway struct {
	broker.Replicas // of the rest nothing is asked
	leader          *broker.Broker

	mu         sync.Mutex // guards what follows
	subscribed int        // consumers that there were
	slow       bool       // the news that a consumer is closed is kept back
	news       []func()
	settled    <-chan struct{}
	unsettled  int // times that who serves the channel is another one before a message is taken
}

func (f *faraway) Replicated(string) bool { return true }

func (f *faraway) Subscribe(topicName, name string, _ bool, o broker.SubscribeOptions) (broker.Consumer, error) {
	f.mu.Lock()
	f.subscribed++
	f.mu.Unlock()
	closed := o.Closed
	o.Closed = func() {
		f.mu.Lock()
		slow := f.slow
		if slow {
			f.news = append(f.news, closed)
		}
		f.mu.Unlock()
		if !slow {
			closed()
		}
	}
	c, left, err := f.leader.Subscribe(topicName, name, o)
	return &farawayConsumer{c, left, f}, err
}

// tell passes on the news that were kept back.
func (f *faraway) tell() {
	f.mu.Lock()
	news := f.news
	f.slow, f.news = false, nil
	f.mu.Unlock()
	for _, closed := range news {
		closed()
	}
}

type farawayConsumer struct {
	broker.Consumer
	left func()
	f    *faraway
}

func (c *farawayConsumer) Settle() <-chan struct{} {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return c.f.settled
}

func (c *farawayConsumer) Settled() bool {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.unsettled--
	return c.f.unsettled < 0
}

func (c *farawayConsumer) Close() {
	c.Consumer.Close()
	if c.left != nil {
		c.left()
	}
}

// whileKept runs a test with leases of topics that another node serves.
func whileKept(t *testing.T, most int, test func(t *testing.T, l *Leases, f *faraway)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &faraway{leader: node.Open(t)}
		b := node.Open(t, func(o *broker.Options) { o.Replicas = f })
		l := New(b, Options{MaxPolls: 10, MaxMessages: 100, MaxAnswers: 4, MaxKept: most})
		test(t, l, f)
		l.Close()
		if len(l.kept) > 0 || l.closer != nil {
			t.Error("consumers are kept when the node stops")
		}
	})
}

func TestNoneIsSaidOnlyByWhoServesTheChannel(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		publish(t, f.leader, "t", "a")
		m, h := leaseSome(t, l, 1, time.Minute)
		say(l, channel.Finish, h.Receipt(), m.ids...)
		take := func(want int, wantErr error, least time.Duration) {
			t.Helper()
			h := begin(t, l, 1, time.Minute)
			defer h.End()
			if !h.inherited {
				t.Fatal("the consumer is not kept")
			}
			m, at := new(mailbox), time.Now()
			if n, err := h.TakeOrNone(t.Context(), m, 0); n != want || !errors.Is(err, wantErr) || time.Since(at) != least {
				t.Fatalf("%d, %v after %v", n, err, time.Since(at))
			}
			say(l, channel.Finish, h.Receipt(), m.ids...)
		}
		settle := func(after time.Duration, first ...string) {
			settled := make(chan struct{})
			f.mu.Lock()
			f.settled = settled
			f.mu.Unlock()
			time.AfterFunc(after, func() {
				if len(first) > 0 {
					publish(t, f.leader, "t", first...)
				}
				close(settled)
			})
		}
		settle(time.Second)
		take(0, nil, time.Second)
		settle(time.Second, "b")
		take(1, nil, time.Second)
		f.mu.Lock()
		f.unsettled = 1
		f.mu.Unlock()
		settle(time.Second)
		take(0, nil, time.Second)
		if f.unsettled >= 0 {
			t.Fatal("nobody asked whether it was still so")
		}
		f.unsettled = 0
		f.mu.Lock()
		f.settled = nil
		f.mu.Unlock()
		take(0, errNotServed, elsewhere+settleWithin)
	})
}

// Without room for what it would send a request has nothing come, and so nothing is said of
// what there is.
func TestNoneIsNotSaidToWhoHasNoRoom(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		settled := make(chan struct{})
		close(settled)
		f.settled = settled
		take := func(wantErr error, after time.Duration) {
			t.Helper()
			h, at := begin(t, l, 1, time.Minute), time.Now()
			defer h.End()
			if n, err := h.TakeOrNone(t.Context(), new(mailbox), 0); n != 0 || !errors.Is(err, wantErr) || time.Since(at) != after {
				t.Fatalf("%d, %v after %v", n, err, time.Since(at))
			}
		}
		for range cap(l.answers) {
			l.answers <- struct{}{}
		}
		take(ErrNoRoom, elsewhere+patience)
		time.AfterFunc(time.Second, func() { <-l.answers })
		take(nil, time.Second)
		for range cap(l.answers) - 1 {
			<-l.answers
		}
	})
}

func TestConsumerElsewhereIsKeptForTheNextRequest(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		var before *Holder
		for i := range 5 {
			publish(t, f.leader, "t", "a", "b")
			m, h := leaseSome(t, l, 2, time.Minute)
			if before != nil { // an answer to what was leased before means nothing of now
				if errs := say(l, channel.Finish, before.Receipt(), m.ids...); errs[0] != channel.ErrNotInFlight {
					t.Error(errs)
				}
			}
			before = h
			for _, err := range say(l, channel.Finish, h.Receipt(), m.ids...) {
				if err != nil {
					t.Fatal(err)
				}
			}
			s := statsOf(t, f.leader)
			if s.InFlight != 0 || len(s.Consumers) != 1 || s.Consumers[0].Ready != 0 || f.subscribed != 1 {
				t.Fatalf("round %d: %d subscriptions, %+v", i, f.subscribed, s)
			}
			if c, ok := l.Client(s.Consumers[0].ID); !ok || c.Polling {
				t.Errorf("%+v, %t", c, ok)
			}
			time.Sleep(keptFor - time.Second)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := statsOf(t, f.leader); len(s.Consumers) != 0 || len(l.holders) != 0 {
			t.Errorf("after %v: %+v", keptFor, s)
		}
	})
}

func TestKeptConsumerKeepsNothingFromOthers(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		begin(t, l, 100, time.Minute).End()
		other, _, err := f.leader.Subscribe("t", "c", broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}}})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		other.SetReady(100)
		for range 10 {
			publish(t, f.leader, "t", "a")
			if n := other.Take(new(mailbox), 100); n != 1 {
				t.Fatalf("%d messages", n)
			}
		}
	})
}

// Requests that want something else do not get it; nor is more kept than may be.
func TestOnlyWhatIsWantedIsKept(t *testing.T) {
	whileKept(t, 3, func(t *testing.T, l *Leases, f *faraway) {
		poll := Poll{Topic: "t", Channel: "c", Max: 1, Lease: time.Minute, Client: Client{Host: "h", UserAgent: "u"}}
		end := func(change func(*Poll), want int) {
			t.Helper()
			p := poll
			change(&p)
			h, err := l.Begin(p)
			if err != nil {
				t.Fatal(err)
			}
			h.End()
			if f.subscribed != want {
				t.Errorf("%d subscriptions, want %d", f.subscribed, want)
			}
		}
		end(func(*Poll) {}, 1)
		end(func(p *Poll) { p.Max = 50 }, 1)
		end(func(p *Poll) { p.Lease = time.Second }, 2)
		end(func(p *Poll) { p.Client.Host = "another" }, 3)
		end(func(p *Poll) { p.Client.UserAgent = "another" }, 4) // and goes: there are three
		end(func(p *Poll) { p.Client.UserAgent = "another" }, 5)
		end(func(*Poll) {}, 5)
		if got := l.CloseClient(""); !got || len(l.kept) != 0 || len(statsOf(t, f.leader).Consumers) != 0 {
			t.Errorf("%t, %d are kept: %+v", got, len(l.kept), statsOf(t, f.leader).Consumers)
		}
		end(func(p *Poll) { p.Channel = "e#ephemeral" }, 6)
		end(func(p *Poll) { p.Channel = "e#ephemeral" }, 7)
		if topic, _ := f.leader.Existing("t"); len(topic.Channels()) != 1 {
			t.Error("an ephemeral channel outlives its consumers")
		}
	})
}

// The end of a channel ends what was kept of it, also where its news come late; but not a
// request that came after it.
func TestRequestAfterTheEndOfAChannelMakesItAnew(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		for _, slow := range []bool{false, true} {
			begin(t, l, 1, time.Minute).End()
			f.mu.Lock()
			f.slow = slow
			f.mu.Unlock()
			if err := f.leader.Change(broker.Change{Op: state.DeleteChannel, Topic: "t", Channel: "c"}); err != nil {
				t.Fatal(err)
			}
			h := begin(t, l, 1, time.Minute)
			time.AfterFunc(time.Second, f.tell)
			time.AfterFunc(2*time.Second, func() { publish(t, f.leader, "t", "a") })
			m := new(mailbox)
			if n, err := h.Take(t.Context(), m, time.Minute); n != 1 || err != nil {
				t.Fatalf("slow: %t: %d, %v", slow, n, err)
			}
			h.End()
			if errs := say(l, channel.Finish, 0, m.ids...); errs[0] != nil {
				t.Error(errs)
			}
		}
	})
}

// A channel that is deleted while a request waits for its messages is not made again, whoever's
// the consumer was before.
func TestEndOfAChannelEndsWhoeverWaitsForIt(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		begin(t, l, 1, time.Minute).End()
		settled := make(chan struct{})
		f.settled = settled
		h := begin(t, l, 1, time.Minute)
		defer h.End()
		time.AfterFunc(time.Millisecond, func() { close(settled) })
		time.AfterFunc(time.Second, func() { _ = f.leader.Change(broker.Change{Op: state.DeleteChannel, Topic: "t", Channel: "c"}) })
		if n, err := h.Take(t.Context(), new(mailbox), time.Minute); n != 0 || err != channel.ErrExiting || f.subscribed != 1 {
			t.Error(n, err, f.subscribed)
		}
		if topic, _ := f.leader.Existing("t"); len(topic.Channels()) != 0 {
			t.Error("the channel is there again")
		}
	})
}

// What is closed by hand is not made anew, and what was given is not asked for again.
func TestKeptConsumerThatIsClosedByHandStaysClosed(t *testing.T) {
	whileKept(t, 5, func(t *testing.T, l *Leases, f *faraway) {
		begin(t, l, 1, time.Minute).End()
		h := begin(t, l, 1, time.Minute)
		time.AfterFunc(time.Second, func() { l.CloseClient("10.0.0.1:5") })
		if n, err := h.Take(t.Context(), new(mailbox), time.Minute); n != 0 || err != channel.ErrExiting || f.subscribed != 1 {
			t.Error(n, err, f.subscribed)
		}
		h.End()
		publish(t, f.leader, "t", "a")
		h = begin(t, l, 1, time.Minute)
		if n, err := h.Take(t.Context(), new(mailbox), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.AfterFunc(time.Second, func() { _ = f.leader.Change(broker.Change{Op: state.DeleteChannel, Topic: "t", Channel: "c"}) })
		if n, err := h.Take(t.Context(), new(mailbox), time.Minute); n != 0 || err != channel.ErrExiting {
			t.Error(n, err)
		}
		h.End()
	})
}

// TestKeptConsumersUnderManyRequests has requests and answers race with the ends of
// consumers: every message is finished once.
func TestKeptConsumersUnderManyRequests(t *testing.T) {
	f := &faraway{leader: node.Open(t)}
	b := node.Open(t, func(o *broker.Options) { o.Replicas = f })
	l := New(b, Options{MaxPolls: 10, MaxMessages: 100, MaxAnswers: 10, MaxKept: 3})
	var mu sync.Mutex
	var got []message.ID
	const messages = 2000
	for range messages / 10 {
		publish(t, f.leader, "t", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	}
	ctx, done := context.WithCancel(t.Context())
	defer done()
	var running sync.WaitGroup
	for i := range 6 {
		running.Go(func() {
			for ctx.Err() == nil {
				h, err := l.Begin(Poll{Topic: "t", Channel: "c", Max: 7, Lease: time.Minute, Client: Client{Host: "h", RemoteAddress: "10.0.0.1:5"}})
				if err != nil {
					t.Error(err)
					return
				}
				m := new(mailbox)
				_, _ = h.Take(ctx, m, time.Millisecond)
				h.End()
				if i == 0 {
					continue // what it has comes again when it is closed
				}
				errs := say(l, channel.Finish, 0, m.ids...)
				mu.Lock()
				for n, err := range errs {
					if err == nil {
						got = append(got, m.ids[n])
					}
				}
				if len(got) == messages {
					done()
				}
				mu.Unlock()
			}
		})
	}
	running.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Millisecond)
			l.CloseClient("10.0.0.1:5")
		}
	})
	running.Wait()
	l.Close()
	slices.SortFunc(got, func(a, b message.ID) int { return slices.Compare(a[:], b[:]) })
	if n := len(slices.Compact(got)); n != messages {
		t.Errorf("%d of %d messages were finished", n, messages)
	}
	l.CloseClient("10.0.0.1:5")
	if s := statsOf(t, f.leader); s.Depth+int64(s.InFlight) != 0 || len(s.Consumers) != 0 || len(l.holders) != 0 {
		t.Errorf("%d holders, %+v", len(l.holders), s)
	}
}
