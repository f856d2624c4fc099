package loadgen

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/protocol"
)

// found is what the checks of a run find.
type found struct{ lost, altered, duplicated, redelivered, disordered int64 }

func TestWhatAServerDoesWrongIsNoticed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		deal func(bodies [][]byte) []delivery // of a batch of 100 messages of 100 bytes
		want found
	}{
		{"nothing", func(b [][]byte) []delivery { return asSent(b...) }, found{}},
		{"lost", func(b [][]byte) []delivery { return asSent(slices.Delete(b, 70, 73)...) }, found{lost: 3}},
		{"lost at the end", func(b [][]byte) []delivery { return asSent(b[:99]...) }, found{lost: 1}},
		{"all lost", func(b [][]byte) []delivery { return nil }, found{lost: 100}},
		{"sent twice", func(b [][]byte) []delivery { return asSent(slices.Insert(b, 8, b[7])...) }, found{duplicated: 1}},
		{"sent again later", func(b [][]byte) []delivery { return asSent(append(b, b[3], b[4])...) }, found{duplicated: 2, disordered: 2}},
		{"one for another", func(b [][]byte) []delivery {
			b[5] = b[6]
			return asSent(b...)
		}, found{lost: 1, duplicated: 1}},
		{"sent again with attempts", func(b [][]byte) []delivery {
			return append(asSent(b...), delivery{b[50], 2})
		}, found{duplicated: 1, redelivered: 1}},
		{"late with attempts", func(b [][]byte) []delivery {
			return append(asSent(slices.Concat(b[:50], b[51:])...), delivery{b[50], 2})
		}, found{redelivered: 1}},
		{"neighbours swapped", func(b [][]byte) []delivery {
			b[20], b[21] = b[21], b[20]
			return asSent(b...)
		}, found{disordered: 1}},
		{"last byte altered", func(b [][]byte) []delivery {
			b[0][99]++
			return asSent(b...)
		}, found{lost: 1, altered: 1}},
		{"number altered", func(b [][]byte) []delivery {
			b[30][0]++
			return asSent(b...)
		}, found{lost: 1, altered: 1}},
		{"publisher altered", func(b [][]byte) []delivery {
			b[30][8] ^= 0x80
			return asSent(b...)
		}, found{lost: 1, altered: 1}},
		{"cut short", func(b [][]byte) []delivery {
			b[30] = b[30][:99]
			return asSent(b...)
		}, found{lost: 1, altered: 1}},
		{"byte too many", func(b [][]byte) []delivery {
			b[30] = append(b[30], 0)
			return asSent(b...)
		}, found{lost: 1, altered: 1}},
		{"halves of two messages", func(b [][]byte) []delivery {
			copy(b[30][50:], b[60][50:])
			return asSent(b...)
		}, found{lost: 1, altered: 1}},
		{"of somebody else", func(b [][]byte) []delivery {
			return asSent(append(b, bytes.Repeat([]byte{7}, 100), []byte("x"))...)
		}, found{altered: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // each waits for the end of what comes
			target := startFake(t, &fake{deal: test.deal})
			l := Load{Channels: 1, Body: 100, Batch: 100, Measure: Amount{Messages: 100}, IdleTimeout: silence}
			r, err := Run(t.Context(), target, l, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := (found{r.Lost, r.Altered, r.Duplicated, r.Redelivered, r.OutOfOrder}); got != test.want {
				t.Errorf("found %+v, want %+v", got, test.want)
			}
			if sound := test.want.lost == 0 && test.want.altered == 0; r.Sound() != sound {
				t.Errorf("sound: %v", r.Sound())
			}
		})
	}
}

func TestMessagesThatWereNeverSentAreNotTaken(t *testing.T) {
	b := newBodies(1, 32)
	p := new(progress)
	p.sent.Store(10)
	ta := newTally(newLedger(b, []*progress{p}, time.Now(), make(chan struct{}, 1)))
	if _, _, ok := ta.take(b.append(nil, 0, 9), 1); !ok {
		t.Error("a message that was sent is refused")
	}
	for _, body := range [][]byte{b.append(nil, 0, 10), b.append(nil, 1, 0), b.append(nil, 0, 1<<60)} {
		if _, _, ok := ta.take(body, 1); ok {
			t.Errorf("a message that was not sent is taken: %x", body)
		}
	}
}

func TestMessagesOfAnotherRunAreNotTaken(t *testing.T) {
	if _, _, ok := newBodies(2, MinBody).read(newBodies(1, MinBody).append(nil, 0, 0)); ok {
		t.Error("a message of another seed is taken")
	}
}

func TestVerifyNoticesWhatAPublishOnlyRunLost(t *testing.T) {
	t.Parallel()
	target := startFake(t, &fake{deal: func(b [][]byte) []delivery { return asSent(b[1:]...) }})
	l := Load{Batch: 50, Window: 4, Verify: true, Measure: Amount{Messages: 1000}, IdleTimeout: silence}
	r, err := Run(t.Context(), target, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Messages != 1000 || r.Lost != 20 {
		t.Errorf("%d messages, %d lost", r.Messages, r.Lost)
	}
}

func TestRefusedPublishIsAnError(t *testing.T) {
	refusal := protocol.AppendFrame(nil, protocol.FrameError, "E_PUB_FAILED PUB failed the disk is full")
	for name, rate := range map[string]float64{"as fast as it goes": 0, "at a rate": 1000} {
		t.Run(name, func(t *testing.T) {
			target := startFake(t, &fake{answer: refusal, deal: func([][]byte) []delivery { return nil }})
			_, err := Run(t.Context(), target, Load{Rate: rate, Window: 10, Measure: Amount{Messages: 1000}}, nil)
			if err == nil || !strings.Contains(err.Error(), "the disk is full") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFrameThatTheProtocolDoesNotKnowIsAnError(t *testing.T) {
	target := startFake(t, &fake{answer: []byte{0, 0, 0, 1, 0}, deal: func([][]byte) []delivery { return nil }})
	_, err := Run(t.Context(), target, Load{Measure: Amount{Messages: 1}}, nil)
	if err == nil || !strings.Contains(err.Error(), "frame of 1 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestEveryMistakeOfALoadIsTold(t *testing.T) {
	_, err := Run(t.Context(), Target{}, Load{Topic: "no blanks", Body: 15, HTTP: true, Window: 2, Backlog: true, Topics: 2, Verify: true}, nil)
	for _, part := range []string{"several topics", "topic name", "15 bytes", "window is 1", "backlog", "duration"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
}

func TestServerThatDoesNotAnswerIsAnError(t *testing.T) {
	target := startFake(t, &fake{answer: []byte{0}, deal: func([][]byte) []delivery { return nil }})
	l := Load{Publishers: 2, Measure: Amount{Messages: 2}, IdleTimeout: 100 * time.Millisecond}
	if _, err := Run(t.Context(), target, l, nil); !errors.Is(err, ErrSilent) {
		t.Errorf("error %v", err)
	}
}

// TestMessagesOfOthersAreNotTakenForAltered: in a topic that is shared, what
// begins like no message of the run is theirs.
func TestMessagesOfOthersAreNotTakenForAltered(t *testing.T) {
	bodies := newBodies(1, 100)
	publisher := new(progress)
	publisher.sent.Store(2)
	altered := bodies.append(nil, 0, 1)
	altered[99]++
	for shared, want := range map[bool][2]int64{false: {3, 0}, true: {1, 2}} {
		l := newLedger(bodies, []*progress{publisher}, time.Now(), make(chan struct{}, 1))
		l.shared = shared
		tally := newTally(l)
		for _, body := range [][]byte{bodies.append(nil, 0, 0), altered, []byte("hello"), newBodies(2, 100).append(nil, 0, 1)} {
			tally.take(body, 1)
		}
		tally.flush(time.Now())
		if got := [2]int64{l.altered.Load(), l.foreign.Load()}; got != want || l.delivered.Load() != 1 {
			t.Errorf("shared %v: altered and foreign are %v, want %v", shared, got, want)
		}
	}
}
