package channel

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"qmq/internal/dueheap"
	"qmq/message"
)

func seqsOf(list []peeked) (seqs []uint64) {
	for _, m := range list {
		seqs = append(seqs, m.seq)
	}
	return seqs
}

// mixed is a core with several consumers that have many messages in flight,
// some of them touched, and with many deferred ones.
func mixed(t *testing.T) *core {
	r := rand.New(rand.NewPCG(3, 4))
	c := testCore()
	var holders []*holder
	for i := range 5 {
		h := &holder{id: uint64(i)}
		c.join(h, int64(10+i)*1e9)
		c.setCredit(h, 1<<20, 0)
		holders = append(holders, h)
	}
	c.join(&holder{id: 99}, 1e9) // with nothing in flight
	now := int64(1)
	var batch []reservation
	for range 400 {
		now += int64(r.IntN(3)) * 1e6
		h := holders[r.IntN(len(holders))]
		var delayed []message.Mark
		for i := range uint64(3) {
			delayed = append(delayed, message.Mark{Seq: c.fanOut + 2*i, DeliverAt: now/1e6 + 1000 + int64(r.IntN(1000))})
		}
		c.advance(now, c.fanOut+10, delayed, 0)
		batch, _ = c.reserve(h, now, 5, batch[:0])
		for _, b := range batch {
			var err error
			switch r.IntN(4) {
			case 0:
				err = c.touch(h, b.seq, now+int64(r.IntN(1e9)))
			case 1:
				err = c.requeue(h, b.seq, now, int64(r.IntN(2))*2e9)
			case 2:
				err = c.finish(h, b.seq)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPeekInFlightGoesByDeadlineOverAllConsumers(t *testing.T) {
	c := mixed(t)
	var deadlines []int64
	c.flight.each(func(_ uint32, _ uint64, e *entry) { deadlines = append(deadlines, e.deadline) })
	slices.Sort(deadlines)
	for _, limit := range []int{1, 7, 100, len(deadlines), len(deadlines) + 1} {
		got := c.peekInFlight(5, limit)
		if len(got) != min(limit, len(deadlines)) {
			t.Fatalf("%d of %d when asked for %d", len(got), len(deadlines), limit)
		}
		shown := map[uint64]bool{}
		for i, m := range got { // those with one deadline come in any order
			e := c.flight.at(c.flight.find(m.seq))
			if shown[m.seq] || e.deadline != deadlines[i] || m.Left != e.deadline-5 || m.Attempts != e.attempts || m.Consumer != c.flight.holders[e.owner].id {
				t.Fatalf("at %d of %d is %+v, its entry %+v", i, limit, m, e)
			}
			shown[m.seq] = true
		}
	}
}

func TestPeekDeferredGoesByDueTime(t *testing.T) {
	c := mixed(t)
	var all []dueheap.Item
	c.deferred.Each(func(i dueheap.Item) { all = append(all, i) })
	slices.SortFunc(all, func(a, b dueheap.Item) int { return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Seq, b.Seq)) })
	for _, limit := range []int{1, 100, len(all) + 1} {
		got := peekDue(&c.deferred, 5, limit)
		if len(got) != min(limit, len(all)) {
			t.Fatalf("%d of %d when asked for %d", len(got), len(all), limit)
		}
		for i, m := range got {
			if d := all[i]; m.seq != d.Seq || m.Left != d.Due*1e6-5 || m.Attempts != d.Attempts {
				t.Fatalf("at %d of %d is %+v, want %+v", i, limit, m, d)
			}
		}
	}
}

func TestPeekReadyShowsWhatIsTakenNext(t *testing.T) {
	c := mixed(t)
	c.void(c.fanOut-3, c.fanOut+5)
	for c.returned.Len() > 1 {
		c.returned.PopFront() // what is ready again and what is fresh are taken in turn
	}
	got := seqsOf(c.peekReady(5, 100))
	if len(got) != 100 || got[0] != c.returned.At(0).seq {
		t.Fatalf("got %v", got)
	}
	before := c.cursor
	if all := c.peekReady(5, 1<<20); len(all) != int(c.depth()) || c.cursor != before {
		t.Errorf("%d messages, depth is %d", len(all), c.depth())
	}
	h := &holder{}
	c.join(h, 1e9)
	c.setCredit(h, 1<<20, 0)
	c.returned.PopFront()
	want := c.reserveFresh(h, 1, 2, 99, nil)
	for i, b := range want {
		if got[i+1] != b.seq {
			t.Fatalf("at %d is %d, but %d is taken", i+1, got[i+1], b.seq)
		}
	}
}

func TestPeekLeavesOutWhatGoesAwayMeanwhile(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Advance(6, nil)
		h.log.lost = func(seq uint64) *LostError {
			if seq == 2 || seq == 4 {
				return &LostError{From: seq, To: seq + 1}
			}
			return nil
		}
		var bodies []string
		total, err := h.Peek(PeekOptions{Limit: 10}, func(m Peeked, v message.View) error {
			if _, seq, ok := m.ID.Split(); !ok || seq != v.Seq {
				t.Errorf("%s comes with the body of %d", m.ID, v.Seq)
			}
			bodies = append(bodies, string(v.Body))
			h.Stats() // the lock is free
			return nil
		})
		if total != 5 || err != nil || !slices.Equal(bodies, []string{"1", "3", "5"}) {
			t.Errorf("%v of %d, %v", bodies, total, err)
		}
		if h.Stats().Depth != 5 {
			t.Error("what could not be read was dropped")
		}
	})
}

func TestPeekReportsThatMessagesCannotBeRead(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Advance(3, nil)
		broken := errors.New("EIO")
		h.log.fail(broken)
		if _, err := h.Peek(PeekOptions{Limit: 10}, nil); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		h.log.fail(nil)
		e := h.subscribe(2, time.Minute)
		e.expect("1/1 2/1") // the channel does not back off for it
	})
}
