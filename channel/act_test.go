package channel

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"qmq/message"
)

func (h *fakeHost) id(seq uint64) message.ID { return message.MakeID(h.o.IDPrefix, seq) }

// places says where messages are: waiting, in flight, deferred.
func (h *fakeHost) places() string {
	s := h.Stats()
	return fmt.Sprint(s.Depth, s.InFlight, s.Deferred)
}

func TestMessageIsFinishedWhereverItIs(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(3, time.Minute)
		h.Advance(8, nil)
		e.expect("1/1 2/1 3/1")
		e.Answer([]Answer{{Op: Requeue, ID: h.id(2), Delay: time.Minute}})
		e.SetReady(0)
		e.Answer([]Answer{{Op: Requeue, ID: h.id(3)}})
		for _, seq := range []uint64{1, 2, 3, 6} { // in flight, deferred, returned, fresh
			if err := h.Finish(h.id(seq)); err != nil {
				t.Errorf("%d: %v", seq, err)
			}
			h.check()
			if err := h.Finish(h.id(seq)); !errors.Is(err, ErrNoMessage) {
				t.Errorf("%d again: %v", seq, err)
			}
		}
		for _, id := range []message.ID{h.id(8), message.MakeID(9, 4), {}} {
			if err := h.Finish(id); !errors.Is(err, ErrNoMessage) {
				t.Errorf("%s: %v", id, err)
			}
		}
		late := []Answer{{Op: Finish, ID: h.id(1)}}
		e.Answer(late)
		if late[0].Err == nil || h.places() != "3 0 0" || h.Floor() != 4 {
			t.Errorf("%v, %s, floor %d", late[0].Err, h.places(), h.Floor())
		}
		h.Close()
		if err := h.Finish(h.id(4)); !errors.Is(err, ErrExiting) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestRequeuedMessageIsDeliveredAtOnce(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(2, time.Minute)
		h.Advance(4, nil)
		e.expect("1/1 2/1")
		e.SetReady(1) // one of them is in flight beyond that
		e.Answer([]Answer{{Op: Requeue, ID: h.id(1), Delay: time.Hour}})
		if h.places() != "1 1 1" {
			t.Fatal(h.places())
		}
		for range 2 { // the second changes nothing
			if err := h.Requeue(h.id(1)); err != nil {
				t.Fatal(err)
			}
			h.check()
		}
		if h.places() != "2 1 0" {
			t.Fatal(h.places())
		}
		other := h.subscribe(3, time.Minute)
		if err := h.Requeue(h.id(2)); err != nil {
			t.Fatal(err)
		}
		h.check()
		_ = other
		if s := h.Stats(); s.Depth+int64(s.InFlight) != 3 || s.Deferred != 0 || s.RequeueCount != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPeekByNumberLooksAtAllThatWaits(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(4, time.Minute)
		h.Advance(9, nil)
		e.expect("1/1 2/1 3/1 4/1")
		e.SetReady(0)
		e.Answer([]Answer{{Op: Requeue, ID: h.id(4)}, {Op: Requeue, ID: h.id(2)}})
		_ = h.Finish(h.id(6))
		for _, test := range []struct {
			o    PeekOptions
			want string
		}{
			{PeekOptions{Limit: 3}, "[4 2 5]"},
			{PeekOptions{Order: PeekOldest, Limit: 10}, "[2 4 5 7 8]"},
			{PeekOptions{Order: PeekOldest, From: 3, Limit: 2}, "[4 5]"},
			{PeekOptions{Order: PeekOldest, From: 6, Limit: 2}, "[7 8]"},
			{PeekOptions{Order: PeekOldest, From: 90, Limit: 2}, "[]"},
			{PeekOptions{Order: PeekNewest, Limit: 3}, "[8 7 5]"},
			{PeekOptions{Order: PeekNewest, From: 5, Limit: 9}, "[5 4 2]"},
			{PeekOptions{Order: PeekNewest, From: 2, Limit: 9}, "[2]"},
			{PeekOptions{State: PeekInFlight, Order: PeekNewest, Limit: 9}, "[3 1]"},
			{PeekOptions{State: PeekDeferred, Order: PeekOldest, Limit: 9}, "[]"},
		} {
			seqs := []uint64{}
			if _, err := h.Peek(test.o, func(m Peeked, v message.View) error { seqs = append(seqs, v.Seq); return nil }); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(seqs); got != test.want {
				t.Errorf("%+v: got %s, want %s", test.o, got, test.want)
			}
		}
	})
}

func TestWhatIsInFlightIsTold(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		e := h.subscribe(3, time.Minute)
		h.Advance(6, nil)
		e.expect("1/1 2/1 3/1")
		e.SetReady(0)
		e.Answer([]Answer{{Op: Finish, ID: h.id(1)}, {Op: Requeue, ID: h.id(2), Delay: time.Minute}})
		other := message.MakeID(h.o.IDPrefix+1, 3)
		ids := []message.ID{h.id(1), h.id(2), h.id(3), h.id(4), h.id(9), other, {}}
		if got, err := h.InFlight(ids); err != nil || fmt.Sprint(got) != "[false false true false false false false]" {
			t.Error(got, err)
		}
	})
}
