package channel

import (
	"errors"
	"fmt"
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

// damage says what cannot be read from now on, and what is lost.
func (l *testLog) damage(bad []seqset.Range, lost func(seq uint64) *LostError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad, l.lost = bad, lost
}

func (r *testReader) Read(seq uint64, m *message.View) error {
	l := r.log
	if l.onRead != nil {
		l.onRead(seq)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	for _, r := range l.bad {
		if r.From <= seq && seq < r.To {
			return &UnreadableError{From: r.From, To: r.To, Err: errors.New("bad sector")}
		}
	}
	if l.lost != nil {
		if d := l.lost(seq); d != nil {
			return fmt.Errorf("read: %w", d)
		}
	}
	r.body = strconv.AppendUint(append(r.body[:0], strings.Repeat("0", l.size)...), seq, 10)
	*m = message.View{Seq: seq, Timestamp: int64(seq) * 10, Body: r.body}
	return nil
}

func (r *testReader) ReadCached(seq uint64, m *message.View) bool {
	return (r.log.cold == nil || !r.log.cold(seq)) && r.Read(seq, m) == nil
}

func (r *testReader) Release() {}

// testHost stands for the topic.
type testHost struct {
	log        *testLog
	newReader  func() Reader // nil: a testReader
	moved      func(floor uint64)
	lost       func(from, to uint64)
	readFailed func(error)
	spent      func(*Channel) // nil: nothing
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

func (h *testHost) Done() {}

func (h *testHost) Spent(c *Channel) {
	if h.spent != nil {
		h.spent(c)
	}
}

// testJournal counts the marks.
type testJournal struct{ marks int }

func (j *testJournal) Mark(state.Source) { j.marks++ }

// fakeHost is a channel with all it needs, in fake time.
type fakeHost struct {
	t       *testing.T
	clock   *clock.Clock
	log     *testLog
	journal *testJournal
	o       Options
	*Channel
}

// inBubble runs f with a new channel that starts at 1.
func inBubble(t *testing.T, f func(h *fakeHost)) { inBubbleWith(t, func(*Options, *testHost) {}, f) }

func inBubbleWith(t *testing.T, set func(o *Options, host *testHost), f func(h *fakeHost)) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{t: t, clock: clock.New(), log: &testLog{}, journal: &testJournal{}}
		q := deadline.New(h.clock)
		defer q.Close()
		host := &testHost{
			log: h.log, moved: func(uint64) {}, readFailed: func(error) {},
			lost: func(from, to uint64) { h.Void(from, to) },
		}
		h.o = Options{
			Name: "ch", Incarnation: 7, TopicIncarnation: 3, IDPrefix: 5, Journal: h.journal, Host: host,
			Common: &Common{
				Clock: h.clock, Deadlines: q,
				MaxMsgTimeout: 15 * time.Minute, MaxReqTimeout: time.Hour,
			},
		}
		set(&h.o, host)
		h.Channel = New(h.o, 1)
		f(h)
		h.check()
	})
}

func (h *fakeHost) check() {
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
	h     *fakeHost
	wakes chan struct{} // holds one
	room  int           // of its mailbox
}

func (h *fakeHost) subscribe(rdy int64, timeout time.Duration) *eater {
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
