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
		if c.deferred.Len() != 1 || c.next() < 1<<62 {
			t.Errorf("due at %d ms: to be called at %d", due, c.next())
		}
	}
}

// TestManyDueAtOnceAreMovedInSlices: nobody waits for the lock while a million
// become due, and no more has to happen for all to be moved.
func TestManyDueAtOnceAreMovedInSlices(t *testing.T) {
	const n = 4*maxMoves + 1
	delayed := func(due int64) (list []message.Mark) {
		for seq := range uint64(n) {
			list = append(list, message.Mark{Seq: 1 + seq, DeliverAt: due})
		}
		return list
	}
	c := testCore()
	c.advance(1, 1+n, delayed(5), 0)
	for left := n - maxMoves; left > 0; left -= maxMoves {
		c.expire(5e6)
		if c.deferred.Len() != left || c.next() > 5e6 {
			t.Fatalf("%d are deferred, want %d; to be called again at %d", c.deferred.Len(), left, c.next())
		}
	}
	inBubble(t, func(h *fakeHost) {
		h.Advance(1+n, delayed(h.clock.Wall()/1e6+1000))
		time.Sleep(1005 * time.Millisecond)
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := h.core.deferred.Len(); n != 0 {
			t.Errorf("%d are still deferred", n)
		}
	})
}

// TestManyTimeoutsAtOnceAreMovedInSlices: nor while a million time out.
func TestManyTimeoutsAtOnceAreMovedInSlices(t *testing.T) {
	const each = 2*maxMoves + 1
	c := testCore()
	for range 2 {
		c.fill(t, c.testHolder(each), each)
	}
	now := c.next()
	for left := 2*each - maxMoves; left > 0; left -= maxMoves {
		c.expire(now)
		if c.flight.len() != left || c.next() > now {
			t.Fatalf("%d are in flight, want %d; to be called again at %d", c.flight.len(), left, c.next())
		}
	}
	c.expire(now)
	if c.flight.len() != 0 || c.timedOut != 2*each || c.next() <= now {
		t.Errorf("%d are in flight, %d timed out; to be called again at %d", c.flight.len(), c.timedOut, c.next())
	}
}
