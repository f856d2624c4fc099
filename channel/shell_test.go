package channel

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// testLog stands for the log: every number is a message, unless told otherwise.
type testLog struct {
	mu     sync.Mutex
	size   int   // of bodies
	broken error // what every read returns
	lost   func(seq uint64) *LostError
	onRead func(seq uint64)
	cold   func(seq uint64) bool // what is not in memory; nil: all is
	bad    []seqset.Range        // what cannot be read now
}

type testReader struct {
	log  *testLog
	body []byte
}

func (l *testLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
}

func (r *testReader) Read(seq uint64) (message.View, error) {
	l := r.log
	if l.onRead != nil {
		l.onRead(seq)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return message.View{}, l.broken
	}
	for _, r := range l.bad {
		if r.From <= seq && seq < r.To {
			return message.View{}, &UnreadableError{From: r.From, To: r.To, Err: errors.New("bad sector")}
		}
	}
	if l.lost != nil {
		if d := l.lost(seq); d != nil {
			return message.View{}, fmt.Errorf("read: %w", d)
		}
	}
	r.body = strconv.AppendUint(append(r.body[:0], strings.Repeat("0", l.size)...), seq, 10)
	return message.View{Seq: seq, Timestamp: int64(seq) * 10, Body: r.body}, nil
}

func (r *testReader) ReadCached(seq uint64) (message.View, bool) {
	if r.log.cold != nil && r.log.cold(seq) {
		return message.View{}, false
	}
	m, err := r.Read(seq)
	return m, err == nil
}

func (r *testReader) Release() {}

// testHost stands for the topic.
type testHost struct {
	log        *testLog
	newReader  func() Reader // nil: a testReader
	moved      func(floor uint64)
	lost       func(from, to uint64)
	readFailed func(error)
}

func (h *testHost) NewReader() Reader {
	if h.newReader != nil {
		return h.newReader()
	}
	return &testReader{log: h.log}
}

func (h *testHost) Moved(floor uint64)                 { h.moved(floor) }
func (h *testHost) Lost(from, to uint64)               { h.lost(from, to) }
func (h *testHost) ReadFailed(channel string, e error) { h.readFailed(e) }

// testJournal counts the marks.
type testJournal struct{ marks int }

func (j *testJournal) Mark(state.Source) { j.marks++ }

// house is a channel with all it needs, in fake time.
type house struct {
	t       *testing.T
	clock   *clock.Clock
	log     *testLog
	journal *testJournal
	o       Options
	*Channel
}

// inBubble runs f with a new channel that starts at 1.
func inBubble(t *testing.T, f func(h *house)) { inBubbleWith(t, func(*Options, *testHost) {}, f) }

func inBubbleWith(t *testing.T, set func(o *Options, host *testHost), f func(h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, clock: clock.New(), log: &testLog{}, journal: &testJournal{}}
		q := deadline.New(h.clock)
		defer q.Close()
		host := &testHost{
			log: h.log, moved: func(uint64) {}, readFailed: func(error) {},
			lost: func(from, to uint64) { h.Void(from, to) },
		}
		h.o = Options{
			Name: "ch", Incarnation: 7, TopicIncarnation: 3, Journal: h.journal, Host: host,
			Common: &Common{
				NodeID: 5, Clock: h.clock, Deadlines: q,
				MaxMsgTimeout: 15 * time.Minute, MaxReqTimeout: time.Hour,
			},
		}
		set(&h.o, host)
		h.Channel = New(h.o, 1)
		f(h)
		h.check()
	})
}

func (h *house) check() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.core.check(); err != nil {
		h.t.Fatal(err)
	}
}

// eater is a consumer that notes its wakes.
type eater struct {
	*Consumer
	h     *house
	wakes chan struct{} // holds one
	room  int           // of its mailbox
}

func (h *house) subscribe(rdy int64, timeout time.Duration) *eater {
	h.t.Helper()
	e := &eater{h: h, wakes: make(chan struct{}, 1)}
	wake := func() {
		select {
		case e.wakes <- struct{}{}:
		default:
		}
	}
	k, err := h.Subscribe(ConsumerOptions{ID: uint64(len(h.consumers)), MsgTimeout: timeout, Wake: wake})
	if err != nil {
		h.t.Fatal(err)
	}
	e.Consumer = k
	k.SetReady(rdy)
	return e
}

// got is a message as a client sees it.
type got struct {
	seq      uint64
	attempts uint16
}

// mailbox is a Sink.
type mailbox struct {
	messages []got
	ids      []message.ID
	body     []byte // of the last one
	room     int    // bytes of bodies, beside the first; 0: any number
	bytes    int
}

func (b *mailbox) Put(m *Message) bool {
	if b.bytes += len(m.Body); b.room > 0 && b.bytes > b.room && len(b.ids) > 0 {
		return false
	}
	b.body = append(b.body[:0], m.Body...)
	b.messages = append(b.messages, got{m.Seq, m.Attempts})
	b.ids = append(b.ids, m.ID)
	return true
}

// take takes once.
func (e *eater) take() (ms []got) {
	e.h.t.Helper()
	e.woken()
	taken := mailbox{room: e.room}
	if n := e.Take(&taken, MaxTake); n != len(taken.ids) {
		e.h.t.Fatalf("%d messages, said %d", len(taken.ids), n)
	}
	for i, id := range taken.ids {
		if node, seq, ok := id.Split(); !ok || node != 5 || seq != taken.messages[i].seq {
			e.h.t.Fatalf("message %d has the id %s", taken.messages[i].seq, id)
		}
	}
	if n := len(taken.messages); n > 0 && strings.TrimLeft(string(taken.body), "0") != fmt.Sprint(taken.messages[n-1].seq) {
		e.h.t.Fatalf("the body of %d is %q", taken.messages[n-1].seq, taken.body)
	}
	return taken.messages
}

func (e *eater) takeSeqs() (seqs []uint64) {
	e.h.t.Helper()
	for _, m := range e.take() {
		seqs = append(seqs, m.seq)
	}
	return seqs
}

// expect takes once; what comes must be want, as seq/attempts.
func (e *eater) expect(want string) {
	e.h.t.Helper()
	var words []string
	for _, m := range e.take() {
		words = append(words, fmt.Sprintf("%d/%d", m.seq, m.attempts))
	}
	if s := strings.Join(words, " "); s != want {
		e.h.t.Fatalf("took %q, want %q", s, want)
	}
}

// woken says whether a wake came since it was asked last.
func (e *eater) woken() bool {
	select {
	case <-e.wakes:
		return true
	default:
		return false
	}
}

func (e *eater) answer(op AnswerOp, seq uint64, delay time.Duration) error {
	as := []Answer{{Op: op, ID: message.MakeID(5, seq), Delay: delay}}
	e.Answer(as)
	return as[0].Err
}

func (e *eater) mustAnswer(op AnswerOp, seq uint64, delay time.Duration) {
	e.h.t.Helper()
	if err := e.answer(op, seq, delay); err != nil {
		e.h.t.Fatalf("answer for %d: %v", seq, err)
	}
}

func TestTakenMessageComesAgainAfterTheTimeoutNeverEarlier(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Minute)
		h.Advance(2, nil)
		e.expect("1/1")
		e.expect("")
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if e.woken() || h.Stats().InFlight != 1 {
			t.Error("timed out early")
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if !e.woken() {
			t.Error("not woken 50 ms after the timeout")
		}
		e.expect("1/2")
		if s := h.Stats(); s.TimeoutCount != 1 || s.RequeueCount != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTouchedMessageStaysInFlightUntilMaxMsgTimeout(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Minute)
		h.Advance(2, nil)
		e.expect("1/1")
		for range 15 * 60 / 50 {
			time.Sleep(50 * time.Second)
			if err := e.answer(Touch, 1, 0); err != nil && h.clock.Now() < 15*60e9 {
				t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Millisecond)
		if s := h.Stats(); s.TimeoutCount != 1 || s.Depth != 1 {
			t.Errorf("%+v", s)
		}
		if err := e.answer(Touch, 1, 0); err != ErrNotInFlight {
			t.Error(err)
		}
	})
}

func TestDeferredMessagesComeWhenDue(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Hour)
		start := h.clock.Wall() / 1e6 // a whole ms in fake time
		h.Advance(4, []message.Mark{{Seq: 1, DeliverAt: start + 9000}, {Seq: 2, DeliverAt: start - 5}})
		e.expect("2/1 3/1")
		e.mustAnswer(Requeue, 3, 3*time.Second)
		e.expect("")
		if s := h.Stats(); s.Deferred != 2 || s.Depth != 0 || s.InFlight != 1 || s.RequeueCount != 1 || s.MessageCount != 3 {
			t.Errorf("%+v", s)
		}
		for _, due := range []struct {
			after time.Duration
			want  string
		}{{3 * time.Second, "3/2"}, {9 * time.Second, "1/1"}} {
			time.Sleep(due.after - 1 - time.Duration(h.clock.Now()-start*1e6))
			synctest.Wait()
			if e.woken() {
				t.Fatal("woken early")
			}
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			if !e.woken() {
				t.Fatal("not woken")
			}
			e.expect(due.want)
			e.expect("")
		}
	})
}

func TestRequeueDelayIsCutToMaxReqTimeout(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Hour)
		h.Advance(2, nil)
		e.expect("1/1")
		e.mustAnswer(Requeue, 1, 1000*time.Hour)
		time.Sleep(time.Hour + 50*time.Millisecond)
		e.expect("1/2")
	})
}

func TestHundredConsumersWithRDYOneGetOneMessageEach(t *testing.T) {
	inBubble(t, func(h *house) {
		var all []*eater
		for range 100 {
			all = append(all, h.subscribe(1, time.Minute))
		}
		h.Advance(101, nil)
		for left := 100; left > 0; left-- {
			woken := 0
			for _, e := range all {
				if e.woken() {
					woken++
					if n := len(e.takeSeqs()); n != 1 {
						t.Fatalf("took %d", n)
					}
					e.expect("")
				}
			}
			if left -= woken; woken == 0 && left > 0 {
				t.Fatalf("nobody is woken for %d messages", left)
			}
			left++
		}
		for _, k := range h.Stats().Consumers {
			if k.InFlight != 1 {
				t.Fatalf("%+v", k)
			}
		}
	})
}

func TestCreditThatComesBackWakesItsConsumer(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(1, time.Minute)
		h.Advance(5, nil)
		for seq := uint64(1); seq < 4; seq++ {
			e.expect(fmt.Sprintf("%d/1", seq))
			e.expect("")
			e.mustAnswer(AnswerOp(seq%2), seq, time.Minute/2) // FIN or REQ
			if !e.woken() {
				t.Fatal("not woken")
			}
		}
		e.SetReady(0)
		e.expect("")
		e.SetReady(1)
		if !e.woken() {
			t.Fatal("not woken")
		}
	})
}

func TestIdleConsumersAreWokenInTurn(t *testing.T) {
	inBubble(t, func(h *house) {
		a, b, c := h.subscribe(10, time.Minute), h.subscribe(10, time.Minute), h.subscribe(10, time.Minute)
		for i := range uint64(9) {
			h.Advance(i+2, nil)
			woken := []*eater{a, b, c}[i%3]
			if !woken.woken() {
				t.Fatalf("consumer %d is not woken", i%3)
			}
			woken.expect(fmt.Sprintf("%d/1", i+1))
			woken.expect("")
		}
	})
}

func TestPoisonMessageBlocksNobody(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(1, time.Minute)
		h.Advance(101, nil)
		poison := 0
		for h.Stats().InFlight+int(h.Stats().Depth) > 1 {
			for _, seq := range e.takeSeqs() {
				if seq == 1 {
					e.mustAnswer(Requeue, 1, 0)
					poison++
				} else {
					e.mustAnswer(Finish, seq, 0)
				}
			}
		}
		if poison > 101 {
			t.Errorf("the poison message was delivered %d times", poison)
		}
	})
}

func TestTakeIsBoundedByMessagesAndItsSink(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(2500, time.Minute)
		h.Advance(10_000, nil)
		if n := len(e.take()); n != MaxTake {
			t.Errorf("%d messages", n)
		}
		if n := e.Take(new(mailbox), 7); n != 7 {
			t.Errorf("%d messages, asked for 7", n)
		}
		next := uint64(MaxTake + 7 + 1)
		h.log.size, e.room = 100, 1000
		for range 8 {
			ms := e.take()
			if len(ms) != 9 { // of 103 or 104 bytes
				t.Errorf("%d messages", len(ms))
			}
			for _, m := range ms {
				if m != (got{next, 1}) {
					t.Fatalf("took %v, want %d", m, next)
				}
				next++
			}
		}
		h.log.size = 2000
		e.expect(fmt.Sprintf("%d/1", next))
		if s := e.Stats(); s.MessageCount != next || s.InFlight != int64(next) {
			t.Errorf("%+v after %d", s, next)
		}
	})
}

// refusing is a Sink without any room.
type refusing struct{}

func (refusing) Put(*Message) bool { return false }

func TestMessagesThatASinkRefusesStay(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Minute)
		h.Advance(3, nil)
		if n := e.Take(refusing{}, MaxTake); n != 0 || e.Parked() {
			t.Errorf("took %d, parked %v", n, e.Parked())
		}
		if s := h.Stats(); s.Depth != 2 || s.InFlight != 0 || s.Delivered != 0 {
			t.Errorf("%+v", s)
		}
		e.expect("1/1 2/1")
	})
}

func TestUnreadableMessagesWaitInOrderWithAttemptsUnchanged(t *testing.T) {
	var reports []error
	inBubbleWith(t, func(_ *Options, host *testHost) {
		host.readFailed = func(err error) { reports = append(reports, err) }
	}, func(h *house) {
		e := h.subscribe(10, time.Minute)
		broken := errors.New("EIO")
		h.log.fail(broken)
		h.Advance(4, nil)
		e.expect("")
		if s := h.Stats(); s.Depth != 3 || s.InFlight != 0 || s.Consumers[0].MessageCount != 0 {
			t.Errorf("%+v", s)
		}
		for pause := 100 * time.Millisecond; pause < 10*time.Second; pause *= 2 {
			time.Sleep(min(pause, 5*time.Second) - time.Millisecond)
			synctest.Wait()
			if e.woken() {
				t.Fatalf("woken before %v", pause)
			}
			time.Sleep(11 * time.Millisecond)
			synctest.Wait()
			if !e.woken() {
				t.Fatalf("not woken after %v", pause)
			}
			e.expect("")
		}
		if len(reports) != 8 || reports[7] != broken {
			t.Errorf("reports %v", reports)
		}
		h.log.fail(nil)
		time.Sleep(6 * time.Second)
		e.expect("1/1 2/1 3/1")
		if len(reports) != 9 || reports[8] != nil {
			t.Errorf("reports %v", reports)
		}
		h.Advance(5, nil)
		e.expect("4/1")
	})
}

func TestLostMessagesAreVoidAndTheOthersGoOn(t *testing.T) {
	var lost []uint64
	inBubbleWith(t, func(_ *Options, host *testHost) {
		void := host.lost
		host.lost = func(from, to uint64) {
			lost = append(lost, from, to)
			void(from, to)
		}
	}, func(h *house) {
		h.log.lost = func(seq uint64) *LostError {
			if seq >= 3 && seq < 6 || seq == 8 {
				return &LostError{From: max(seq/8*8, 3), To: seq/8*3 + 6}
			}
			return nil
		}
		e := h.subscribe(100, time.Minute)
		h.Advance(10, nil)
		e.expect("1/1 2/1 6/1 7/1 9/1")
		for _, seq := range []uint64{1, 2, 6, 7, 9} {
			e.mustAnswer(Finish, seq, 0)
		}
		if fmt.Sprint(lost) != "[3 6 8 9]" || h.Floor() != 10 {
			t.Errorf("lost %v, floor %d", lost, h.Floor())
		}
		if s := e.Stats(); s.MessageCount != 5 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLostMessagesAreVoidWithoutTheTopic(t *testing.T) {
	inBubbleWith(t, func(_ *Options, host *testHost) { host.lost = func(uint64, uint64) {} }, func(h *house) {
		h.log.lost = func(seq uint64) *LostError {
			if seq < 4 {
				return &LostError{From: 1, To: 4}
			}
			return nil
		}
		h.Advance(4, nil)
		e := h.subscribe(100, time.Minute)
		e.expect("")
		h.Advance(5, nil)
		e.expect("4/1")
		if h.Floor() != 4 {
			t.Errorf("floor %d", h.Floor())
		}
	})
}

func TestAbandonedChannelCloses(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(1, time.Minute)
		if h.CloseIfAbandoned() {
			t.Error("closed under a consumer")
		}
		e.Close()
		if !h.CloseIfAbandoned() || h.CloseIfAbandoned() {
			t.Error("not closed once")
		}
	})
}

func TestEmptyOrFinishWhileATakeReadsDoesNoHarm(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(100, time.Minute)
		other := h.subscribe(0, time.Minute)
		h.log.onRead = func(seq uint64) {
			switch seq {
			case 3:
				e.mustAnswer(Finish, 5, 0)
			case 6:
				h.Empty(math.MaxUint64)
			case 7:
				h.log.fail(errors.New("gone from the log"))
			}
		}
		h.Advance(11, nil)
		e.expect("1/1 2/1 3/1 4/1 5/1 6/1")
		h.log.onRead = nil
		h.log.fail(nil)
		if err := e.answer(Finish, 6, 0); err != ErrNotInFlight {
			t.Error(err)
		}
		h.Advance(12, nil)
		e.expect("11/1")
		if err := other.answer(Finish, 11, 0); err != ErrNotOwner {
			t.Error(err)
		}
	})
}

func TestConsumerThatClosesGivesItsMessagesBackAtOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		a, b := h.subscribe(3, time.Minute), h.subscribe(3, time.Minute)
		h.Advance(4, nil)
		a.expect("1/1 2/1")
		b.expect("3/1")
		b.expect("")
		b.woken()
		a.Close()
		if !b.woken() {
			t.Error("not woken")
		}
		b.expect("1/2 2/2")
		a.Close()
		a.expect("")
		if err := a.answer(Finish, 1, 0); err != ErrNotInFlight {
			t.Error(err)
		}
		if s := h.Stats(); s.TimeoutCount != 0 || len(s.Consumers) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestEphemeralChannelDropsNewerMessagesAndGoesOn(t *testing.T) {
	inBubbleWith(t, func(o *Options, _ *testHost) { o.EphemeralLimit = 100; o.Journal = nil }, func(h *house) {
		h.Advance(151, nil)
		if s := h.Stats(); s.Depth != 100 || s.MessageCount != 150 {
			t.Errorf("%+v", s)
		}
		e := h.subscribe(1000, time.Minute)
		if seqs := e.takeSeqs(); len(seqs) != 100 || seqs[99] != 100 {
			t.Errorf("took %v", seqs)
		}
		h.Advance(152, nil)
		e.expect("151/1")
	})
}

func TestClosedChannelTellsItsConsumersAndRefuses(t *testing.T) {
	inBubbleWith(t, func(o *Options, _ *testHost) { o.MaxConsumers = 2 }, func(h *house) {
		closed := 0
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, Closed: func() { closed++ }})
		if err != nil {
			t.Fatal(err)
		}
		e := h.subscribe(5, time.Minute)
		if _, err := h.Subscribe(ConsumerOptions{}); err != ErrTooManyConsumers {
			t.Error(err)
		}
		h.Advance(3, nil)
		e.expect("1/1 2/1")
		h.Close()
		h.Close()
		if closed != 1 {
			t.Errorf("told %d times", closed)
		}
		e.expect("")
		if err := e.answer(Finish, 1, 0); err != ErrExiting {
			t.Error(err)
		}
		if _, err := h.Subscribe(ConsumerOptions{}); err != ErrExiting {
			t.Error(err)
		}
		k.Close()
		if ch := h.Snapshot(); ch.Cursor != 3 || ch.Topic != 3 || ch.Channel != 7 {
			t.Errorf("%+v", ch)
		}
	})
}

func TestAnswerForAnIDThatCannotBeIsNotInFlight(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Minute)
		h.Advance(4, nil)
		e.expect("1/1 2/1 3/1")
		as := []Answer{
			{ID: message.MakeID(6, 1)},
			{ID: message.ID([]byte("GGGGGGGGGGGGGGGG"))},
			{ID: message.MakeID(5, 1)},
			{ID: message.MakeID(5, 1)},
			{ID: message.MakeID(5, 2), Op: Requeue},
			{ID: message.MakeID(5, 3), Op: Touch},
		}
		e.Answer(as)
		for i, want := range []error{ErrNotInFlight, ErrNotInFlight, nil, ErrNotInFlight, nil, nil} {
			if as[i].Err != want {
				t.Errorf("answer %d: %v, want %v", i, as[i].Err, want)
			}
		}
		if s := e.Stats(); s.FinishCount != 1 || s.RequeueCount != 1 || s.InFlight != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPausedChannelDeliversNothingUntilUnpaused(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.subscribe(5, time.Minute)
		h.Pause()
		h.Advance(3, nil)
		e.expect("")
		if e.woken() || !h.Paused() {
			t.Error("woken while paused")
		}
		h.Unpause()
		if !e.woken() {
			t.Error("not woken")
		}
		e.expect("1/1 2/1")
	})
}

func TestMovedIsCalledAfterTakeAndAnswer(t *testing.T) {
	var moves []uint64
	inBubbleWith(t, func(_ *Options, host *testHost) {
		host.moved = func(floor uint64) { moves = append(moves, floor) }
	}, func(h *house) {
		e := h.subscribe(5, time.Minute)
		h.Advance(3, nil)
		e.expect("1/1 2/1")
		e.mustAnswer(Finish, 2, 0)
		e.mustAnswer(Finish, 1, 0)
		// Also where what is finished does not move the floor.
		if fmt.Sprint(moves) != "[1 1 3]" {
			t.Errorf("%v", moves)
		}
	})
}

// TestDroppingForASampleTakesNothingFromTheTimeout: it may have to drop very
// many before it finds one to send.
func TestDroppingForASampleTakesNothingFromTheTimeout(t *testing.T) {
	slow := func(uint64) { time.Sleep(time.Second) } // after each reservation
	inBubbleWith(t, func(_ *Options, host *testHost) { host.moved = slow }, func(h *house) {
		h.Advance(1001, nil)
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: 10 * time.Minute, SampleRate: 1})
		if err != nil {
			t.Fatal(err)
		}
		k.SetReady(1)
		if k.Take(new(mailbox), MaxTake) == 0 {
			t.Fatal("none of 1,000 messages is drawn")
		}
		_, err = h.Peek(PeekInFlight, 1, func(m Peeked, _ message.View) error {
			if left := time.Duration(m.Left); left != 10*time.Minute-time.Second {
				t.Errorf("times out in %v", left)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
