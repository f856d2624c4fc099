package channel

import (
	"time"

	"qmq/internal/histogram"
	"qmq/message"
)

// AnswerOp is what a consumer says about a message.
type AnswerOp uint8

const (
	Finish  AnswerOp = iota // it is done
	Requeue                 // deliver it again, after Delay
	Touch                   // it needs the full message timeout again
	Return                  // its client has not got it: it is available at once, its attempts as before
)

// Answer is a consumer's word on one message it has in flight.
type Answer struct {
	Op    AnswerOp
	ID    message.ID
	Delay time.Duration // of a Requeue; longer than allowed is cut
	Err   error         // out: nil, ErrNotInFlight, ErrNotOwner or ErrExiting
}

// Answer applies the answers in order and sets the Err of each.
func (k *Consumer) Answer(as []Answer) {
	if len(as) == 0 {
		return
	}
	c := k.ch
	now := c.o.Clock.Now()
	ages := c.aging().done.Begin()
	c.mu.Lock()
	for i := range as {
		as[i].Err = k.apply(&as[i], now, &ages)
	}
	c.unlock()
	ages.Flush()
	c.o.Host.Moved(c.Floor()) // also where the floor has not moved
}

// apply applies one answer, and adds to ages how old a finished message is. The channel's
// lock is held.
func (k *Consumer) apply(a *Answer, now int64, ages *histogram.Run) error {
	c := k.ch
	if c.core.closed {
		return ErrExiting
	}
	prefix, seq, ok := a.ID.Split()
	if !ok || prefix != c.o.IDPrefix || k.holder.gone {
		return ErrNotInFlight
	}
	switch a.Op {
	case Requeue:
		return c.core.requeue(&k.holder, seq, now, int64(a.Delay))
	case Touch:
		return c.core.touch(&k.holder, seq, now)
	case Return:
		return c.core.giveBack(&k.holder, seq)
	default:
		return k.finish(seq, now, ages)
	}
}
