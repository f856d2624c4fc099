package channel

import (
	"sync"
	"time"
)

// ConsumerOptions of a subscription.
type ConsumerOptions struct {
	ID         uint64        // shown in Stats
	MsgTimeout time.Duration // how long a message may be in flight
	// DefaultTimeout says that the client did not ask for its MsgTimeout: the channel's
	// settings may have another one.
	DefaultTimeout bool
	// SampleRate, 1 to 99, is how many per cent of the messages the consumer
	// wants; the others that it would get are dropped for good. 0: all.
	SampleRate int
	Locality   Locality
	// Wake is called when something may be taken, before the first Take and
	// after each that returned nothing, once until the next, and not after Close
	// has returned. A topic's lock may be held: it must not block, nor call a
	// channel or topic. Whoever is woken must call Take soon (or Close), whether
	// it can send or not: others may not be woken before.
	Wake func()
	// Closed is called once, without locks, when the channel closes. It may
	// be nil.
	Closed func()
}

// Consumer is one subscription. Take must not be called concurrently with
// itself; all other methods may be called at any time.
type Consumer struct {
	// Set by Subscribe and never changed.
	ch     *Channel
	wake   func()
	closed func()
	sample int // per cent; 0: all

	holder holder         // guarded by ch.mu
	wakes  sync.WaitGroup // calls of wake; begun with ch.mu held, before Close

	// Of the goroutine that takes.
	reader Reader
	parked bool // see Parked
	fit    int  // how many messages to reserve at most where they come in an order; 0: any number
}

// Subscribe adds a consumer. It gets nothing until SetReady. The error is
// ErrExiting or ErrTooManyConsumers.
func (c *Channel) Subscribe(o ConsumerOptions) (*Consumer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.core.closed {
		return nil, ErrExiting
	}
	if c.o.MaxConsumers > 0 && len(c.consumers)-c.away >= c.o.MaxConsumers {
		return nil, ErrTooManyConsumers
	}
	k := &Consumer{ch: c, wake: o.Wake, closed: o.Closed, sample: o.SampleRate}
	if k.wake == nil {
		k.wake = func() {}
	}
	k.holder = holder{consumer: k, id: o.ID, locality: o.Locality, defaultTimeout: o.DefaultTimeout}
	c.core.join(&k.holder, int64(o.MsgTimeout))
	if c.consumers == nil {
		c.consumers = make(map[*Consumer]struct{})
	}
	c.consumers[k] = struct{}{}
	return k, nil
}

// SetReady sets how many messages the consumer accepts in flight (RDY).
func (k *Consumer) SetReady(n int64) {
	k.ch.mu.Lock()
	if !k.holder.gone && !k.holder.away {
		k.ch.core.setCredit(&k.holder, max(n, 0), k.holder.inFlight)
	}
	k.ch.unlock()
}

// SetAway says that it is not known whether the client is still there. The consumer gets nothing
// more. What it has stays in flight, for as long as it would have, and in its place in an order:
// others may Claim it. Until Close, which says that nobody is going to, the channel is not
// abandoned; Options.MaxConsumers does not count it.
func (k *Consumer) SetAway() {
	c := k.ch
	c.mu.Lock()
	if !k.holder.gone && !k.holder.away {
		c.core.setAway(&k.holder)
		c.away++
	}
	c.unlock()
}

// Close ends the subscription: what is in flight becomes available to others
// at once, its attempts kept.
func (k *Consumer) Close() {
	c := k.ch
	c.mu.Lock()
	if k.holder.away && !k.holder.gone {
		c.away--
	}
	c.core.leave(&k.holder)
	delete(c.consumers, k)
	c.unlock()
	k.wakes.Wait()
}
