package channel

import (
	"math"
	"testing"
	"time"

	"qmq/message"
)

// TestMessageDueAtTheEndOfTimeIsNeverDue: its due time in ns must not wrap
// around to one that has passed, or the timer would fire for ever.
func TestMessageDueAtTheEndOfTimeIsNeverDue(t *testing.T) {
	for _, due := range []int64{math.MaxInt64, math.MaxInt64 / 1_000_000, 1 << 47} {
		c := testCore()
		c.advance(1, 10, []message.Mark{{Seq: 5, DeliverAt: due}}, 0)
		if c.deferred.len() != 1 || c.next() < 1<<62 {
			t.Errorf("due at %d ms: to be called at %d", due, c.next())
		}
	}
}

// TestDeferredComeOutInOrderWhateverTheirNumber crosses the ends of pages both
// ways, with some taken out of the middle.
func TestDeferredComeOutInOrderWhateverTheirNumber(t *testing.T) {
	var h deferredHeap
	for _, n := range []int{1, 3*deferredPage + 1, deferredPage, 20, 2 * deferredPage} {
		for i := range n {
			h.push(newDeferral(again{seq: uint64(i)}, int64(i*7919%10007)))
		}
		h.removeRange(10, 1000)
		kept := n - max(0, min(n, 1000)-10)
		if h.len() != kept {
			t.Fatalf("%d of %d are left, want %d", h.len(), n, kept)
		}
		for last := (deferral{}); h.len() > 0; kept-- {
			if next, d := h.next(), h.pop(); d != next || d.before(last) {
				t.Fatalf("%v comes after %v, and %v was next", d, last, next)
			} else {
				last = d
			}
		}
		if kept != 0 {
			t.Errorf("%d of %d did not come out", kept, n)
		}
	}
	if n := len(h.pages); n > 2 {
		t.Errorf("%d pages are kept", n)
	}
}

// TestManyDueAtOnceAreMovedInSlices: nobody waits for the lock while a million
// become due, and no more has to happen for all to be moved.
func TestManyDueAtOnceAreMovedInSlices(t *testing.T) {
	const n = 4*moveMost + 1
	delayed := func(due int64) (list []message.Mark) {
		for seq := range uint64(n) {
			list = append(list, message.Mark{Seq: 1 + seq, DeliverAt: due})
		}
		return list
	}
	c := testCore()
	c.advance(1, 1+n, delayed(5), 0)
	for left := n - moveMost; left > 0; left -= moveMost {
		c.expire(5e6)
		if c.deferred.len() != left || c.next() > 5e6 {
			t.Fatalf("%d are deferred, want %d; to be called again at %d", c.deferred.len(), left, c.next())
		}
	}
	inBubble(t, func(h *house) {
		h.Advance(1+n, delayed(h.clock.Wall()/1e6+1000))
		time.Sleep(1005 * time.Millisecond)
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := h.core.deferred.len(); n != 0 {
			t.Errorf("%d are still deferred", n)
		}
	})
}

// TestManyTimeoutsAtOnceAreMovedInSlices: nor while a million time out.
func TestManyTimeoutsAtOnceAreMovedInSlices(t *testing.T) {
	const each = 2*moveMost + 1
	c := testCore()
	for range 2 {
		c.fill(t, c.testHolder(each), each)
	}
	now := c.next()
	for left := 2*each - moveMost; left > 0; left -= moveMost {
		c.expire(now)
		if c.flight.n != left || c.next() > now {
			t.Fatalf("%d are in flight, want %d; to be called again at %d", c.flight.n, left, c.next())
		}
	}
	c.expire(now)
	if c.flight.n != 0 || c.timedOut != 2*each || c.next() <= now {
		t.Errorf("%d are in flight, %d timed out; to be called again at %d", c.flight.n, c.timedOut, c.next())
	}
}
