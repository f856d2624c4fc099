package lease

import (
	"context"
	"errors"
	"time"

	"qmq/broker"
	"qmq/channel"
)

// settleWithin is how long whoever serves a channel may take to say that it has nothing:
// another node may have to be elected.
const settleWithin = 8 * time.Second

// errNotServed means that nobody says whether there is anything.
var errNotServed = errors.New("nobody who serves the channel answers")

// TakeOrNone is Take for who takes none for the end: none means that whoever serves the
// channel was there, and had none. That may take longer than wait. The error is also that
// nobody is there.
func (h *Holder) TakeOrNone(ctx context.Context, s channel.Sink, wait time.Duration) (n int, err error) {
	n, err = h.Take(ctx, s, wait)
	k, ok := h.consumer.(broker.Settler)
	if n > 0 || err != nil || !ok {
		return n, err
	}
	begun := time.Now()
	late := time.NewTimer(settleWithin)
	defer late.Stop()
	defer func() { h.settled = nil }()
	for time.Since(begun) < settleWithin {
		h.consumer.SetReady(int64(h.poll.Max)) // before it is asked
		h.settled = k.Settle()
		if n, err = h.take(ctx, s, late.C); n > 0 || err != nil {
			return n, err
		}
		if isClosed(h.settled) {
			h.confirm()
			if k.Settled() {
				return 0, nil
			}
		}
	}
	return 0, errNotServed
}
