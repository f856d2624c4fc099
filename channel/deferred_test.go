package channel

import (
	"math"
	"testing"

	"qmq/message"
)

// TestMessageDueAtTheEndOfTimeIsNeverDue: its due time in ns must not wrap
// around to one that has passed, or the timer would fire for ever.
func TestMessageDueAtTheEndOfTimeIsNeverDue(t *testing.T) {
	for _, due := range []int64{math.MaxInt64, math.MaxInt64 / 1_000_000, 1 << 47} {
		c := testCore()
		c.advance(1, 10, []message.Delayed{{Seq: 5, DeliverAt: due}}, 0)
		if c.deferred.len() != 1 || c.next() < 1<<62 {
			t.Errorf("due at %d ms: to be called at %d", due, c.next())
		}
	}
}
