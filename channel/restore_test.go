package channel

import (
	"slices"
	"testing"

	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

func restored(t *testing.T, st *state.Channel, fanOut uint64, voids []seqset.Range, delayed []message.Mark) *core {
	t.Helper()
	c := restoreCore(limits{journalled: true, maxDelay: 1e18}, 5e9, st, fanOut, voids, delayed, 0)
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *core) returnedList() (ms []redelivery) {
	for i := range c.returned.Len() {
		ms = append(ms, *c.returned.At(i))
	}
	return ms
}

func ackedState(floor, cursor uint64, rs ...seqset.Range) *state.Channel {
	st := &state.Channel{Acked: seqset.New(floor), Cursor: cursor}
	for _, r := range rs {
		st.Acked.AddRange(r.From, r.To)
	}
	return st
}

func TestRestoreDropsStateOfLostMessages(t *testing.T) {
	st := ackedState(10, 30, seqset.Range{From: 12, To: 14}, seqset.Range{From: 18, To: 28})
	st.Open.Put(state.OpenMessage{Seq: 25, Attempts: 4})
	c := restored(t, st, 20, nil, []message.Mark{{Seq: 11, DeliverAt: 9000}, {Seq: 22, DeliverAt: 9000}})
	want := []redelivery{{10, 1, false}, {14, 1, false}, {15, 1, false}, {16, 1, false}, {17, 1, false}}
	if got := c.returnedList(); !slices.Equal(got, want) || c.cursor != 20 || c.deferred.Len() != 1 {
		t.Errorf("returned %v, cursor %d, %d deferred", got, c.cursor, c.deferred.Len())
	}
	if c := restored(t, ackedState(50, 60), 20, nil, nil); c.floor() != 20 || c.depth() != 0 {
		t.Errorf("floor %d, depth %d", c.floor(), c.depth())
	}
}

func TestRestoreSkipsVoidRangesOfAnySize(t *testing.T) {
	voids := []seqset.Range{{From: 3, To: 5}, {From: 100, To: 1 << 50}, {From: 1<<50 + 8, To: 1<<50 + 20}}
	c := restored(t, ackedState(1, 4), 1<<50+10, voids, nil)
	if c.depth() != 2+95+8 || c.cursor != 5 {
		t.Errorf("depth %d, cursor %d", c.depth(), c.cursor)
	}
	c.advance(0, 1<<50+30, nil, 0)
	if c.depth() != 2+95+8+10 {
		t.Errorf("depth %d", c.depth())
	}
}

func TestRestoreKeepsWhatIsListedAboveTheCursor(t *testing.T) {
	st := ackedState(1, 3, seqset.Range{From: 6, To: 7})
	st.Open.Put(state.OpenMessage{Seq: 4, Attempts: 1})
	st.Open.Put(state.OpenMessage{Seq: 5, Attempts: 2, Due: 8000})
	st.Open.Put(state.OpenMessage{Seq: 6, Attempts: 9})
	c := restored(t, st, 9, nil, []message.Mark{{Seq: 5, DeliverAt: 1}, {Seq: 7, DeliverAt: 6000}, {Seq: 8, DeliverAt: 4000}})
	if want := []redelivery{{1, 1, false}, {2, 1, false}, {4, 1, false}}; !slices.Equal(c.returnedList(), want) {
		t.Errorf("returned %v", c.returnedList())
	}
	if due := c.due.Next(); c.due.Len() != 1 || due != (redelivery{8, 0, true}).dueAt(4000) {
		t.Errorf("due %+v", due)
	}
	if c.waiting != 1 || c.deferred.Len() != 2 {
		t.Errorf("%d fresh, %d deferred", c.waiting, c.deferred.Len())
	}
	ch := c.snapshot(0).finish()
	if want := []state.OpenMessage{{Seq: 4, Attempts: 1}, {Seq: 5, Attempts: 2, Due: 8000}}; !slices.Equal(ch.Open, want) {
		t.Errorf("listed %v", ch.Open)
	}
}

func TestAttemptsStopAt65535(t *testing.T) {
	st := ackedState(1, 2)
	st.Open.Put(state.OpenMessage{Seq: 1, Attempts: 65534})
	c := restored(t, st, 2, nil, nil)
	h := c.testHolder(1)
	for range 3 {
		batch, end := c.reserve(h, 5e9, 1, nil)
		if len(batch) != 1 || batch[0].attempts != 65535 {
			t.Fatalf("reserved %+v", batch)
		}
		c.release(h, batch, end)
		if batch, _ = c.reserve(h, 5e9, 1, nil); batch[0].attempts != 65535 {
			t.Fatalf("reserved %+v", batch)
		}
		if err := c.requeue(h, 1, 5e9, 0); err != nil {
			t.Fatal(err)
		}
	}
}
