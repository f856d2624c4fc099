package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
	"qmq/test/node"
)

// inBubble runs a test with leases of a fresh broker, in a bubble of its own time.
func inBubble(t *testing.T, test func(t *testing.T, l *Leases, b *broker.Broker)) {
	t.Helper()
	inBubbleWith(t, Options{MaxPolls: 10, MaxMessages: 100, MaxAnswers: 4}, test)
}

func inBubbleWith(t *testing.T, o Options, test func(t *testing.T, l *Leases, b *broker.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := node.Open(t)
		test(t, New(b, o), b)
	})
}

// publish publishes messages with these bodies.
func publish(t *testing.T, b *broker.Broker, topicName string, bodies ...string) {
	t.Helper()
	p, err := b.Publisher(topicName)
	if err != nil {
		t.Fatal(err)
	}
	records := new(diskqueue.Batch)
	for _, body := range bodies {
		records.Add(&message.Meta{Timestamp: b.Clock().Wall()}, []byte(body))
	}
	if _, err := b.Publish(p, records); err != nil {
		t.Fatal(err)
	}
}

// mailbox keeps what it is given, up to a number of messages.
type mailbox struct {
	most     int // 0: all
	ids      []message.ID
	bodies   []string
	attempts []uint16
}

func (m *mailbox) Put(x *channel.Message) bool {
	if m.most > 0 && len(m.ids) == m.most {
		return false
	}
	m.ids, m.bodies, m.attempts = append(m.ids, x.ID), append(m.bodies, string(x.Body)), append(m.attempts, x.Attempts)
	return true
}

// begin begins a request.
func begin(t *testing.T, l *Leases, most int, time time.Duration) *Holder {
	t.Helper()
	h, err := l.Begin(Poll{Topic: "t", Channel: "c", Max: most, Lease: time, Client: Client{RemoteAddress: "10.0.0.1:5"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// leaseSome has a request get n messages, and end.
func leaseSome(t *testing.T, l *Leases, n int, lease time.Duration) (*mailbox, *Holder) {
	t.Helper()
	h := begin(t, l, n, lease)
	defer h.End()
	m := new(mailbox)
	if got, err := h.Take(t.Context(), m, 0); err != nil || got != n {
		t.Fatalf("%d of %d messages, %v", got, n, err)
	}
	return m, h
}

// say answers messages, and returns the errors.
func say(l *Leases, op channel.AnswerOp, receipt uint64, ids ...message.ID) (errs []error) {
	a := Answers{Topic: "t", Channel: "c", Receipt: receipt}
	for _, id := range ids {
		a.List = append(a.List, channel.Answer{Op: op, ID: id})
	}
	l.Answer(context.Background(), &a)
	for i := range a.List {
		errs = append(errs, a.List[i].Err)
	}
	return errs
}

// statsOf are the figures of the channel.
func statsOf(t *testing.T, b *broker.Broker) channel.Stats {
	t.Helper()
	topic, ok := b.Existing("t")
	if !ok {
		t.Fatal("no topic")
	}
	c, ok := topic.ExistingChannel("c")
	if !ok {
		t.Fatal("no channel")
	}
	return c.Stats()
}

func TestLeaseOutlivesItsRequestUntilItIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a", "b")
		m, _ := leaseSome(t, l, 2, time.Minute)
		time.Sleep(59 * time.Second)
		if s := statsOf(t, b); s.InFlight != 2 || len(s.Consumers) != 1 || s.Consumers[0].Ready != 0 {
			t.Fatalf("%+v", s)
		}
		if c, ok := l.Client(statsOf(t, b).Consumers[0].ID); !ok || c.RemoteAddress != "10.0.0.1:5" || c.Polling {
			t.Errorf("%+v, %v", c, ok)
		}
		if errs := say(l, channel.Finish, 0, m.ids...); errs[0] != nil || errs[1] != nil {
			t.Error(errs)
		}
		if s := statsOf(t, b); s.InFlight != 0 || s.Depth != 0 || len(s.Consumers) != 0 {
			t.Errorf("%+v", s)
		}
		if errs := say(l, channel.Finish, 0, m.ids[0]); errs[0] != channel.ErrNotInFlight {
			t.Error(errs)
		}
		if n := l.Counts(); n.Messages != 0 || n.Polls != 0 || n.Leased != 2 || n.Answered != 2 {
			t.Errorf("%+v", n)
		}
	})
}

func TestMessageComesAgainWhenItsLeaseIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a")
		first, held := leaseSome(t, l, 1, time.Minute)
		h := begin(t, l, 1, time.Minute)
		again, began := new(mailbox), time.Now()
		if n, err := h.Take(t.Context(), again, 5*time.Minute); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+100*time.Millisecond || again.attempts[0] != 2 {
			t.Errorf("again after %v, attempt %d", took, again.attempts[0])
		}
		h.End()
		// The first client comes late: with its receipt it takes nothing from the second.
		if errs := say(l, channel.Finish, held.Receipt(), first.ids[0]); errs[0] != channel.ErrNotInFlight {
			t.Error(errs)
		}
		if errs := say(l, channel.Finish, h.Receipt(), first.ids[0]); errs[0] != nil {
			t.Error(errs)
		}
		time.Sleep(10 * time.Minute)
		if n := l.Counts(); n.Messages != 0 || n.Expired != 1 || len(l.holders) != 0 || len(l.channels) != 0 {
			t.Errorf("%+v, %d holders", n, len(l.holders))
		}
	})
}

func TestLeaseThatNobodyAnswersIsForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a", "b", "c")
		leaseSome(t, l, 3, time.Minute)
		time.Sleep(3 * time.Minute)
		if s := statsOf(t, b); s.InFlight != 0 || s.Depth != 3 || len(s.Consumers) != 0 {
			t.Errorf("%+v", s)
		}
		if n := l.Counts(); n.Messages != 0 || n.Expired != 3 || len(l.holders) != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestTouchedLeaseLastsLonger(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a")
		m, _ := leaseSome(t, l, 1, time.Minute)
		for range 5 {
			time.Sleep(50 * time.Second)
			if errs := say(l, channel.Touch, 0, m.ids[0]); errs[0] != nil {
				t.Fatal(errs)
			}
		}
		time.Sleep(59 * time.Second)
		if errs := say(l, channel.Finish, 0, m.ids[0]); errs[0] != nil {
			t.Error(errs)
		}
		if s := statsOf(t, b); s.TimeoutCount != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRequestWaitsForTheFirstMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		h := begin(t, l, 10, time.Minute)
		defer h.End()
		began := time.Now()
		if n, err := h.Take(t.Context(), new(mailbox), 20*time.Second); n != 0 || err != nil || time.Since(began) != 20*time.Second {
			t.Fatal(n, err, time.Since(began))
		}
		time.AfterFunc(5*time.Second, func() { publish(t, b, "t", "a", "b") })
		began = time.Now()
		m := new(mailbox)
		if n, err := h.Take(t.Context(), m, 20*time.Second); n != 2 || err != nil || time.Since(began) > 6*time.Second {
			t.Error(n, err, time.Since(began))
		}
	})
}

func TestClientThatHasGoneHadNoAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a", "b", "c")
		h := begin(t, l, 2, time.Minute)
		m := new(mailbox)
		if n, err := h.Take(t.Context(), m, 0); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		h.Return()
		h.End()
		again, _ := leaseSome(t, l, 3, time.Minute)
		if again.bodies[0] != "a" || again.attempts[0] != 1 || again.attempts[2] != 1 {
			t.Errorf("%+v", again)
		}
		if n := l.Counts(); n.Returned != 2 || n.Messages != 3 {
			t.Errorf("%+v", n)
		}
	})
}

func TestRequestEndsWithItsClientTheChannelAndTheNode(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		for name, test := range map[string]struct {
			end  func(cancel func())
			want error
		}{
			"client":  {func(cancel func()) { cancel() }, context.Canceled},
			"channel": {func(func()) { _ = b.Change(broker.Change{Op: state.DeleteChannel, Topic: "t", Channel: "c"}) }, channel.ErrExiting},
			"closed":  {func(func()) { l.CloseClient("10.0.0.1:5") }, channel.ErrExiting},
		} {
			h := begin(t, l, 1, time.Minute)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, func() { test.end(cancel) })
			if _, err := h.Take(ctx, new(mailbox), time.Minute); !errors.Is(err, test.want) {
				t.Errorf("%s: %v", name, err)
			}
			h.End()
			cancel()
		}
		h := begin(t, l, 1, time.Minute)
		time.AfterFunc(time.Second, l.Close)
		if _, err := h.Take(t.Context(), new(mailbox), time.Minute); err != ErrClosing {
			t.Error(err)
		}
		h.End()
		if _, err := l.Begin(Poll{Topic: "t", Channel: "c", Max: 1, Lease: time.Minute}); err != ErrClosing {
			t.Error(err)
		}
	})
}

func TestLimitsOfRequestsAndLeases(t *testing.T) {
	inBubbleWith(t, Options{MaxPolls: 2, MaxMessages: 3, MaxAnswers: 4}, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a", "b", "c", "d")
		h := begin(t, l, 10, time.Minute)
		if n, err := h.Take(t.Context(), new(mailbox), 0); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		other := begin(t, l, 1, time.Minute)
		var limit *LimitError
		if _, err := l.Begin(Poll{Topic: "t", Channel: "c", Max: 1, Lease: time.Minute}); !errors.As(err, &limit) || limit.Option != "--max-http-polls" {
			t.Error(err)
		}
		if n, err := other.Take(t.Context(), new(mailbox), time.Second); n != 0 || !errors.As(err, &limit) || limit.Option != "--max-http-leases" {
			t.Error(n, err)
		}
		h.Return()
		if n, err := other.Take(t.Context(), new(mailbox), time.Second); n != 1 || err != nil {
			t.Error(n, err)
		}
		h.End()
		other.End()
	})
}

func TestSlowReadersKeepOthersWaitingAndNoMessages(t *testing.T) {
	inBubbleWith(t, Options{MaxPolls: 9, MaxMessages: 9, MaxAnswers: 1}, func(t *testing.T, l *Leases, b *broker.Broker) {
		publish(t, b, "t", "a", "b")
		slow := begin(t, l, 1, time.Minute)
		if n, err := slow.Take(t.Context(), new(mailbox), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		other := begin(t, l, 1, time.Minute)
		// Nobody has looked: that there is none would be a lie.
		if n, err := other.Take(t.Context(), new(mailbox), time.Second); n != 0 || err != ErrNoRoom {
			t.Fatal(n, err)
		}
		time.AfterFunc(patience/2, slow.Sent)
		if n, err := other.Take(t.Context(), new(mailbox), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.AfterFunc(time.Second, other.Sent)
		third := begin(t, l, 1, time.Minute)
		defer third.End()
		if n, err := third.Take(t.Context(), new(mailbox), 10*time.Second); n != 0 || err != nil {
			t.Error(n, err)
		}
		publish(t, b, "t", "c")
		if n, err := third.Take(t.Context(), new(mailbox), 0); n != 1 || err != nil {
			t.Error(n, err)
		}
		third.Sent()
		slow.End()
		other.End()
		if len(l.answers) != 0 {
			t.Error("an answer is left")
		}
	})
}

func TestEphemeralChannelLivesAsLongAsALease(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		h, err := l.Begin(Poll{Topic: "t", Channel: "c#ephemeral", Max: 1, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, b, "t", "a")
		m := new(mailbox)
		if n, err := h.Take(t.Context(), m, time.Second); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		h.End()
		topic, _ := b.Existing("t")
		if _, ok := topic.ExistingChannel("c#ephemeral"); !ok {
			t.Fatal("it is gone before its lease")
		}
		a := Answers{Topic: "t", Channel: "c#ephemeral", List: []channel.Answer{{ID: m.ids[0]}}}
		if l.Answer(t.Context(), &a); a.List[0].Err != nil {
			t.Error(a.List[0].Err)
		}
		if _, ok := topic.ExistingChannel("c#ephemeral"); ok {
			t.Error("it is there without a consumer")
		}
	})
}

func TestPausedChannelGivesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		h := begin(t, l, 1, time.Minute)
		defer h.End()
		if err := b.Change(broker.Change{Op: state.PauseChannel, Topic: "t", Channel: "c"}); err != nil {
			t.Fatal(err)
		}
		publish(t, b, "t", "a")
		if n, err := h.Take(t.Context(), new(mailbox), time.Minute); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		time.AfterFunc(time.Second, func() { _ = b.Change(broker.Change{Op: state.UnpauseChannel, Topic: "t", Channel: "c"}) })
		if n, err := h.Take(t.Context(), new(mailbox), time.Minute); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestRequestThatSendsKeepsNothingFromOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		sends := begin(t, l, 10, time.Minute)
		defer sends.End()
		publish(t, b, "t", "a")
		if n, err := sends.Take(t.Context(), new(mailbox), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		other := begin(t, l, 3, time.Minute)
		defer other.End()
		for range 3 { // whoever's turn it were
			time.AfterFunc(time.Second, func() { publish(t, b, "t", "b") })
			m, began := new(mailbox), time.Now()
			if n, err := other.Take(t.Context(), m, time.Minute); n != 1 || err != nil || time.Since(began) > 2*time.Second {
				t.Error(n, err, time.Since(began))
			}
		}
	})
}
