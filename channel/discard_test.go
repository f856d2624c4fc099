package channel

import (
	"testing"
	"time"

	"qmq/internal/seqset"
	"qmq/message"
)

func TestWhatIsDiscardedInFlightGoesWhenItsDeliveryEndsOtherwiseThanByFin(t *testing.T) {
	for name, end := range map[string]func(h *fakeHost, k *eater){
		"requeue":  func(_ *fakeHost, k *eater) { k.mustAnswer(Requeue, 2, 0) },
		"deferral": func(_ *fakeHost, k *eater) { k.mustAnswer(Requeue, 2, time.Hour) },
		"timeout":  func(*fakeHost, *eater) { time.Sleep(2 * time.Minute) },
		"leaving":  func(_ *fakeHost, k *eater) { k.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *fakeHost) {
				h.Advance(5, nil)
				k := h.subscribe(3, time.Minute)
				k.expect("1/1 2/1 3/1")
				h.Discard([]seqset.Range{{From: 1, To: 7}}, Dropped)
				k.mustAnswer(Finish, 1, 0)
				k.mustAnswer(Finish, 3, 0)
				if s := h.Stats(); s.Dropped != 1 || s.InFlight != 1 || s.Depth != 0 || h.Floor() != 2 {
					t.Errorf("floor %d, %+v", h.Floor(), s)
				}
				end(h, k)
				if s := h.Stats(); s.Dropped != 2 || s.InFlight != 0 || s.Depth != 0 || s.Deferred != 0 || h.Floor() != 5 {
					t.Errorf("floor %d, %+v", h.Floor(), s)
				}
				h.Advance(9, nil)
				if s := h.Stats(); s.Depth != 2 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestVeryManyScatteredMessagesAreDiscardedOnceThroughWhatWaits(t *testing.T) {
	const messages = 100_000
	var list []seqset.Range
	for seq := uint64(1); seq < messages; seq += 2 {
		list = append(list, seqset.Range{From: seq, To: seq + 1})
	}
	for name, put := range map[string]func(c *core, seq uint64){
		"returned": func(c *core, seq uint64) { c.returned.PushBack(redelivery{seq: seq, attempts: 1}) },
		"due":      func(c *core, seq uint64) { c.postpone(1, redelivery{seq: seq, attempts: 1}, 0) },
		"deferred": func(c *core, seq uint64) { c.postpone(0, redelivery{seq: seq, attempts: 1}, int64(seq)) },
		"spent": func(c *core, seq uint64) {
			c.addSpent(spentMessage{redelivery: redelivery{seq: seq, attempts: 1}, reason: message.TimedOut})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCore(limits{}, 0)
			c.advance(0, messages, nil, 0)
			c.waiting, c.cursor = 0, messages
			for seq := range uint64(messages) {
				put(c, seq)
			}
			for from, left := uint64(0), list; len(left) > 0; {
				left, from = c.discard(left, from, Expired)
			}
			if err := c.check(); err != nil {
				t.Error(err)
			}
			if n := c.discardedFor(Expired); n != messages/2 {
				t.Errorf("%d are gone", n)
			}
			waits := c.returned.Len() + c.due.Len() + c.deferred.Len() + len(c.conf.spent.waiting)
			if waits != messages/2 {
				t.Errorf("%d wait", waits)
			}
		})
	}
}
