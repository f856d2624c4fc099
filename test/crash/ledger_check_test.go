package crash

import (
	"fmt"
	"testing"
	"time"

	"qmq/test/wire"
)

// story is a small ledger with one topic, two channels and one publisher of
// ten messages, told by hand.
type story struct {
	l    *ledger
	s    *stream
	a, b *channelLedger
}

func newStory() *story {
	l := newLedger()
	t := l.addTopic("t")
	x := &story{l: l, s: l.addStream(t, 10)}
	x.a, x.b = l.addChannel(t, "a"), l.addChannel(t, "b")
	x.a.created()
	x.b.created()
	return x
}

// sent notes that n messages were published in one go.
func (x *story) sent(n int, status byte) {
	first := x.s.take(n, 0, 0)
	x.s.mark(first, uint32(n), status)
}

// delivery is one message as it came.
type delivery struct {
	number   uint32
	run      int
	at       time.Duration
	attempts uint16
	id       uint64 // 0 for the usual one
	due      time.Duration
	damaged  bool
}

func (x *story) comes(c *channelLedger, d delivery) {
	k := kindPub
	due := int64(0)
	if d.due != 0 {
		k, due = kindDeferred, int64(d.due)
	}
	if d.id == 0 {
		d.id = uint64(d.number) + 1
	}
	head := wire.Head{Timestamp: 42, Attempts: max(d.attempts, 1), ID: wire.ID(fmt.Appendf(nil, "%016x", d.id))}
	body := appendBody(nil, content{x.s.id, d.number, k, due}, []byte("payload"))
	if d.damaged {
		body[len(body)-1] ^= 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received(&sighting{run: d.run, epoch: c.epoch, at: d.at, wall: int64(d.at)}, head, body)
}

// finished notes FINs that were obeyed at a time.
func (x *story) finished(c *channelLedger, at time.Duration, numbers ...uint32) {
	for _, n := range numbers {
		e := c.entryOf(messageKey{x.s.id, n})
		e.fins++
		e.fin = tickAt(at)
	}
}

// whole lets both channels get and finish the first n messages.
func (x *story) whole(n uint32) {
	for _, c := range []*channelLedger{x.a, x.b} {
		for i := range n {
			x.comes(c, delivery{number: i, at: time.Second})
			x.finished(c, time.Second, i)
		}
	}
}

// lives sets the runs: each begins when the one before ends.
func (x *story) lives(ends ...time.Duration) {
	from := uint16(1)
	for _, end := range ends {
		x.l.runs = append(x.l.runs, lifespan{from: from, to: uint16(end / tick)})
		from = tickAt(end)
	}
	x.l.runs = append(x.l.runs, lifespan{from: from})
}

func TestCheckerFindsEveryFault(t *testing.T) {
	for _, c := range []struct {
		name string
		want fault // empty: none
		tell func(*story)
	}{
		{"all is well", "", func(x *story) {
			x.sent(2, statusOK)
			x.whole(2)
		}},
		{"one channel never gets an OK'd message", faultLost, func(x *story) {
			x.sent(2, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 1})
			x.finished(x.a, 0, 1)
		}},
		{"a message is delivered, not finished, and not seen again", faultLost, func(x *story) {
			x.sent(2, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 1})
			x.finished(x.a, 0, 1)
			x.comes(x.b, delivery{number: 1})
		}},
		{"an unanswered message appears nowhere", "", func(x *story) {
			x.sent(1, 0)
		}},
		{"an unanswered message appears in one channel of two", faultPartial, func(x *story) {
			x.sent(1, 0)
			x.comes(x.a, delivery{number: 0})
			x.finished(x.a, 0, 0)
		}},
		{"half of an unanswered MPUB appears", faultHalf, func(x *story) {
			x.sent(4, 0)
			(&publisher{s: x.s}).markBatch(0, 4)
			x.whole(2)
		}},
		{"a body is altered", faultAltered, func(x *story) {
			x.sent(1, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 0, attempts: 2, damaged: true})
		}},
		{"a message comes that was not sent yet", faultUnsent, func(x *story) {
			x.comes(x.a, delivery{number: 3})
		}},
		{"a message changes its id", faultIdentity, func(x *story) {
			x.sent(1, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 0, at: time.Second, attempts: 2, id: 77})
		}},
		{"two messages have one id", faultIdentity, func(x *story) {
			x.sent(2, statusOK)
			x.whole(1)
			for _, c := range []*channelLedger{x.a, x.b} {
				x.comes(c, delivery{number: 1, id: 1})
				x.finished(c, 0, 1)
			}
		}},
		{"a FIN older than a second is undone by a kill", faultUndone, func(x *story) {
			x.lives(5 * time.Second)
			x.sent(1, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 0, run: 1, at: 6 * time.Second, attempts: 2})
		}},
		{"a FIN of the last second before a kill is undone", "", func(x *story) {
			x.lives(1500 * time.Millisecond)
			x.sent(1, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 0, run: 1, at: 6 * time.Second, attempts: 2})
		}},
		{"a FIN is undone within a run", faultUndone, func(x *story) {
			x.lives()
			x.sent(1, statusOK)
			x.whole(1)
			x.comes(x.a, delivery{number: 0, at: 9 * time.Second, attempts: 2})
		}},
		{"a redelivery within a run has attempts 1", faultAttempts, func(x *story) {
			x.lives()
			x.sent(1, statusOK)
			x.comes(x.a, delivery{number: 0, at: time.Second})
			x.whole(1)
		}},
		{"a redelivery after a kill has attempts 1", faultAttempts, func(x *story) {
			x.lives(5 * time.Second)
			x.sent(1, statusOK)
			x.comes(x.a, delivery{number: 0, at: time.Second})
			x.comes(x.a, delivery{number: 0, run: 1, at: 6 * time.Second})
			x.comes(x.b, delivery{number: 0, run: 1, at: 6 * time.Second})
			x.finished(x.a, 6*time.Second, 0)
			x.finished(x.b, 6*time.Second, 0)
		}},
		{"a deferred message comes early", faultEarly, func(x *story) {
			x.sent(1, statusOK)
			x.comes(x.a, delivery{number: 0, at: time.Second, due: 2 * time.Second})
			x.comes(x.b, delivery{number: 0, at: 3 * time.Second, due: 2 * time.Second})
			x.finished(x.a, 0, 0)
			x.finished(x.b, 0, 0)
		}},
		{"a requeued message comes early", faultEarly, func(x *story) {
			x.lives()
			x.sent(1, statusOK)
			x.whole(1)
			x.a.requeues[messageKey{x.s.id, 0}] = requeueMark{due: int64(3 * time.Second), at: tickAt(time.Second)}
			x.comes(x.a, delivery{number: 0, at: 2 * time.Second, attempts: 2})
		}},
		{"a message comes back after its channel was deleted", faultRisen, func(x *story) {
			x.sent(1, statusOK)
			x.whole(1)
			x.a.vanishing()
			x.a.created()
			x.comes(x.a, delivery{number: 0, at: time.Second, attempts: 2})
		}},
		{"a deleted message does not come", "", func(x *story) {
			x.sent(2, statusOK)
			x.a.vanishing()
			x.b.vanishing()
			x.a.created()
			x.b.created()
		}},
		{"a message sent after the re-creation does not come", faultLost, func(x *story) {
			x.a.vanishing()
			x.sent(1, statusOK)
			x.a.created()
			x.sent(1, statusOK)
			x.comes(x.b, delivery{number: 0})
			x.comes(x.b, delivery{number: 1})
			x.finished(x.b, 0, 0, 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newStory()
			c.tell(x)
			x.l.check()
			for f, n := range x.l.faults {
				if f != c.want {
					t.Errorf("found %d times: %s", n, f)
				}
			}
			if c.want != "" && x.l.faults[c.want] == 0 {
				t.Errorf("not found: %s", c.want)
			}
			if x.l.summary() == "" || (c.want == "") != (x.l.verdict() == "") {
				t.Errorf("verdict %q", x.l.verdict())
			}
		})
	}
}
