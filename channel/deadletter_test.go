package channel

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// post stands for the dead-letter topic.
type post struct {
	mu      sync.Mutex // guards what follows
	topics  []string
	letters []DeadLetter
	tried   []time.Time
	err     error
}

func (p *post) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *post) send(topic string, letters []DeadLetter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = append(p.tried, time.Now())
	if p.err != nil {
		return p.err
	}
	for _, l := range letters {
		p.topics = append(p.topics, topic)
		p.letters = append(p.letters, l)
	}
	return nil
}

// String lists the letters as body, attempts and reason.
func (p *post) String() string {
	var words []string
	for _, l := range p.letters {
		words = append(words, fmt.Sprintf("%s/%d/%v", l.Body, l.Attempts, l.Reason))
	}
	return strings.Join(words, " ")
}

func (p *post) expect(t *testing.T, want string) {
	t.Helper()
	if got := p.String(); got != want {
		t.Fatalf("dead letters %q, want %q", got, want)
	}
}

// inBubbleWithPost runs f with a channel whose messages are delivered so often, with
// ten of them.
func inBubbleWithPost(t *testing.T, attempts uint16, f func(h *fakeHost, p *post)) {
	p := &post{}
	inBubbleWith(t, func(_ *Options, host *testHost) {
		host.spent = func(c *Channel) { go c.SendDeadLetters(p.send) }
	}, func(h *fakeHost) {
		h.Configure(settings.EffectiveChannel{MaxAttempts: attempts, DeadLetterTopic: "letters"})
		h.Advance(11, nil)
		f(h, p)
	})
}

func TestMessageIsADeadLetterWhenItsLastDeliveryIsRequeued(t *testing.T) {
	inBubbleWithPost(t, 2, func(h *fakeHost, p *post) {
		k := h.subscribe(1, time.Minute)
		k.expect("1/1")
		k.mustAnswer(Requeue, 1, 0)
		k.expect("2/1")
		k.mustAnswer(Finish, 2, 0)
		k.expect("1/2")
		time.Sleep(time.Second)
		ended := time.Now().UnixMilli()
		k.mustAnswer(Requeue, 1, time.Hour)
		synctest.Wait()
		p.expect(t, "1/2/requeue")
		got := p.letters[0].DeadLetter
		want := message.DeadLetter{Channel: "ch", ID: message.MakeID(5, 1), Published: 10, Attempts: 2, Reason: message.Requeued, Ended: ended}
		if got != want || p.topics[0] != "letters" {
			t.Fatalf("%+v in %s, want %+v", got, p.topics[0], want)
		}
		if s := h.Stats(); h.Floor() != 3 || s.DeadLettered != 1 || s.Spent != 0 || s.RequeueCount != 2 || s.InFlight != 0 || s.Deferred != 0 {
			t.Fatalf("floor %d, %+v", h.Floor(), s)
		}
	})
}

func TestMessageIsADeadLetterWhenItsLastDeliveryTimesOut(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		k := h.subscribe(3, time.Second)
		k.expect("1/1 2/1 3/1")
		k.mustAnswer(Finish, 2, 0)
		time.Sleep(time.Second + 100*time.Millisecond)
		synctest.Wait()
		p.expect(t, "1/1/timeout 3/1/timeout")
		if h.Floor() != 4 {
			t.Fatalf("floor %d", h.Floor())
		}
		if err := k.answer(Finish, 1, 0); err != ErrNotInFlight {
			t.Fatalf("FIN of a dead letter: %v", err)
		}
	})
}

func TestNothingElseMakesADeadLetter(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		k := h.subscribe(4, time.Minute)
		k.expect("1/1 2/1 3/1 4/1")
		k.mustAnswer(Return, 1, 0)
		k.mustAnswer(Finish, 2, 0)
		k.Close()
		synctest.Wait()
		p.expect(t, "")
		other := h.subscribe(4, time.Minute)
		other.expect("1/1 3/2 5/1 6/1")
		other.mustAnswer(Requeue, 3, 0)
		synctest.Wait()
		h.Empty(11)
		h.Channel.Close()
		synctest.Wait()
		p.expect(t, "3/2/requeue")
	})
}

func TestFailureToPublishKeepsTheMessageAndIsTriedFromEverySecondToEveryMinute(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		p.fail(errors.New("disk is full"))
		k := h.subscribe(1, 15*time.Minute)
		k.expect("1/1")
		k.mustAnswer(Requeue, 1, 0)
		k.SetReady(100)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := h.Stats(); s.Spent != 1 || s.SpentError != p.err || h.Floor() != 1 {
			t.Fatalf("floor %d, %+v", h.Floor(), s)
		}
		var pauses []time.Duration
		for i, at := range p.tried[1:] {
			pauses = append(pauses, at.Sub(p.tried[i]).Round(time.Second))
		}
		if got := fmt.Sprint(pauses[:8]); got != "[1s 2s 4s 8s 16s 32s 1m0s 1m0s]" {
			t.Fatalf("tried after %s", got)
		}
		k.expect("2/1 3/1 4/1 5/1 6/1 7/1 8/1 9/1 10/1")
		p.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		p.expect(t, "1/1/requeue")
		if s := h.Stats(); s.Spent != 0 || s.SpentError != nil || h.Floor() != 2 {
			t.Fatalf("floor %d, %+v", h.Floor(), s)
		}
	})
}

func TestWhatIsSpentIsSpentAfterARestartToo(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		p.fail(errors.New("disk is full"))
		k := h.subscribe(3, time.Second)
		k.expect("1/1 2/1 3/1")
		k.mustAnswer(Requeue, 2, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		st := &state.Channel{Acked: seqset.New(1)}
		applyChanges(st, h.Changes(false))
		ended := h.core.conf.spent.waiting[0].ended + wallShift(h.clock)
		h.Channel.Close()

		h.Channel = Restore(h.o, st, 11, nil, nil)
		after := h.subscribe(20, time.Minute)
		after.expect("4/1 5/1 6/1 7/1 8/1 9/1 10/1")
		p.fail(nil)
		h.Configure(settings.EffectiveChannel{MaxAttempts: 1, DeadLetterTopic: "others"})
		synctest.Wait()
		p.expect(t, "1/1/timeout 2/1/requeue 3/1/timeout")
		if p.topics[0] != "others" || p.letters[1].Ended != ended || h.Floor() != 4 {
			t.Fatalf("to %s, ended at %d, want %d, floor %d", p.topics[0], p.letters[1].Ended, ended, h.Floor())
		}
	})
}

func TestWhatIsSpentIsDeliveredAgainWhenThereAreNoDeadLettersAnyMore(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		p.fail(errors.New("disk is full"))
		k := h.subscribe(1, time.Minute)
		k.expect("1/1")
		k.mustAnswer(Requeue, 1, 0)
		synctest.Wait()
		h.Configure(settings.EffectiveChannel{})
		k.SetReady(2)
		k.expect("2/1 1/2")
		if s := h.Stats(); s.Spent != 0 || s.SpentError != nil {
			t.Fatalf("%+v", s)
		}
	})
}

func TestDeadLettersThatCannotBeReadLetTheOthersPass(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		k := h.subscribe(4, time.Minute)
		k.expect("1/1 2/1 3/1 4/1")
		h.log.damage([]seqset.Range{{From: 1, To: 3}}, func(seq uint64) *LostError {
			if seq == 3 {
				return &LostError{From: 3, To: 4}
			}
			return nil
		})
		for seq := range uint64(4) {
			k.mustAnswer(Requeue, seq+1, 0)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		p.expect(t, "4/1/requeue")
		if s := h.Stats(); s.Spent != 2 || s.SpentError == nil {
			t.Fatalf("%+v", s)
		}
		h.log.damage(nil, h.log.lost)
		time.Sleep(time.Minute)
		synctest.Wait()
		p.expect(t, "4/1/requeue 1/1/requeue 2/1/requeue")
		if s := h.Stats(); s.Spent != 0 || s.SpentError != nil || h.Floor() != 5 {
			t.Fatalf("floor %d, %+v", h.Floor(), s)
		}
	})
}

func TestManyDeadLettersArePublishedInOrder(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		h.Advance(1001, nil)
		k := h.subscribe(1000, time.Second)
		for n := 0; n < 1000; {
			n += len(k.take())
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if h.Floor() != 1001 || len(p.letters) != 1000 {
			t.Fatalf("floor %d, %d letters", h.Floor(), len(p.letters))
		}
		for i, l := range p.letters {
			if string(l.Body) != fmt.Sprint(i+1) {
				t.Fatalf("letter %d is %s", i, l.Body)
			}
		}
	})
}

func TestEmptyAndVoidTakeSpentMessages(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		p.fail(errors.New("disk is full"))
		k := h.subscribe(4, time.Minute)
		k.expect("1/1 2/1 3/1 4/1")
		for seq := range uint64(4) {
			k.mustAnswer(Requeue, seq+1, 0)
		}
		synctest.Wait()
		h.Void(2, 3)
		if s := h.Stats(); s.Spent != 3 {
			t.Fatalf("%+v", s)
		}
		h.Empty(11)
		if s := h.Stats(); s.Spent != 0 || h.Floor() != 11 {
			t.Fatalf("floor %d, %+v", h.Floor(), s)
		}
		p.fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		p.expect(t, "")
	})
}

// TestWhatIsSpentIsShown until it is published, in the order in which it will be.
func TestWhatIsSpentIsShown(t *testing.T) {
	inBubbleWithPost(t, 1, func(h *fakeHost, p *post) {
		p.fail(errors.New("full"))
		k := h.subscribe(3, time.Minute)
		k.expect("1/1 2/1 3/1")
		for _, seq := range []uint64{3, 1} {
			k.mustAnswer(Requeue, seq, 0)
		}
		synctest.Wait()
		peek := func(order PeekOrder, limit int) (shown string) {
			total, err := h.Peek(PeekOptions{State: PeekSpent, Order: order, Limit: limit}, func(m Peeked, v message.View) error {
				shown += fmt.Sprintf("%d/%d ", v.Seq, m.Attempts)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%sof %d", shown, total)
		}
		for _, tt := range []struct {
			order PeekOrder
			limit int
			want  string
		}{{PeekByTurn, 10, "3/1 1/1 of 2"}, {PeekByTurn, 1, "3/1 of 2"}, {PeekOldest, 10, "1/1 3/1 of 2"}, {PeekNewest, 1, "3/1 of 2"}} {
			if got := peek(tt.order, tt.limit); got != tt.want {
				t.Errorf("order %d: %s, want %s", tt.order, got, tt.want)
			}
		}
		if err := h.Finish(message.MakeID(5, 3)); err != nil {
			t.Error(err)
		}
		if got := peek(PeekByTurn, 10); got != "1/1 of 1" {
			t.Errorf("then %s", got)
		}
		p.fail(nil)
		time.Sleep(10 * time.Second)
		if got := peek(PeekByTurn, 10); got != "of 0" {
			t.Errorf("at last %s", got)
		}
		p.expect(t, "1/1/requeue")
	})
}
