package channel

import (
	"errors"

	"qmq/internal/dueheap"
	"qmq/message"
)

// ErrDelivered answers for a message that a consumer has, or had.
var ErrDelivered = errors.New("the message has been delivered")

// Cancel acknowledges a message that no consumer has got yet, deferred or not. It is as
// durable as what a consumer says. The error is ErrNoMessage, ErrDelivered or ErrExiting.
func (c *Channel) Cancel(id message.ID) error {
	c.mu.Lock()
	seq, err := c.heldSeq(id)
	if err == nil && c.core.wasDelivered(seq) {
		err = ErrDelivered
	}
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.core.void(seq, seq+1)
	c.tellReadable()
	c.unlock()
	c.o.Host.Moved(c.Floor())
	return nil
}

// wasDelivered tells whether a message that is held was given to a consumer. It looks
// through all that wait for a time.
func (c *core) wasDelivered(seq uint64) (delivered bool) {
	if c.flight.find(seq) != 0 {
		return true
	}
	c.skipTaken()
	if c.fresh(seq) {
		return false
	}
	look := func(m redelivery) bool {
		delivered = delivered || m.seq == seq && m.attempts > 0
		return false // it stays
	}
	for i := range c.returned.Len() {
		look(*c.returned.At(i))
	}
	for _, heap := range [...]*dueheap.Heap{c.due, &c.deferred} {
		heap.Each(func(i dueheap.Item) { look(deferred(i)) })
	}
	for _, x := range c.conf.spent.waiting {
		look(x.redelivery)
	}
	c.eachKnownOld(func(m redelivery) { look(m) })
	c.extractBarred(look)
	return delivered
}
