package channel

import "time"

// ConsumerOptions of a subscription.
type ConsumerOptions struct {
	ID         uint64        // shown in Stats
	MsgTimeout time.Duration // how long a message may be in flight
	// SampleRate, 1 to 99, is how many per cent of the messages the consumer
	// wants; the others that it would get are dropped for good. 0: all.
	SampleRate int
	Near       Nearness
	// Wake is called when something may be taken, before the first Take and
	// after each that returned nothing, once until the next. The channel's
	// lock is held: it must not block or call the channel. Whoever is woken must call Take soon (or Close),
	// whether it can send or not: others may not be woken before.
	Wake func()
	// Closed is called once, without locks, when the channel closes. It may
	// be nil.
	Closed func()
}

// Consumer is one subscription. Take must not be called concurrently with
// itself; all other methods may be called at any time.
type Consumer struct {
	ch     *Channel
	closed func()
	sample int // per cent; 0: all

	holder holder // guarded by ch.mu

	// The fields below belong to Take.
	reader Reader
	// frameSize is the average size of the last frames, in bytes; 0 at first.
	frameSize int
	parked    bool // see Parked
}

// Subscribe adds a consumer. It gets nothing until SetReady. The error is
// ErrExiting or ErrTooManyConsumers.
func (c *Channel) Subscribe(o ConsumerOptions) (*Consumer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.core.closed {
		return nil, ErrExiting
	}
	if c.o.MaxConsumers > 0 && len(c.consumers) >= c.o.MaxConsumers {
		return nil, ErrTooManyConsumers
	}
	k := &Consumer{ch: c, closed: o.Closed, sample: o.SampleRate, holder: holder{id: o.ID, near: o.Near}}
	wake := o.Wake
	if wake == nil {
		wake = func() {}
	}
	c.core.join(&k.holder, int64(o.MsgTimeout), wake)
	if c.consumers == nil {
		c.consumers = make(map[*Consumer]struct{})
	}
	c.consumers[k] = struct{}{}
	return k, nil
}

// SetReady sets how many messages the consumer accepts in flight (RDY).
func (k *Consumer) SetReady(n int64) {
	c := k.ch
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.holder.gone {
		return
	}
	c.core.setCredit(&k.holder, max(n, 0), k.holder.inFlight)
	c.core.wakeNext()
}

// Close ends the subscription: what is in flight becomes available to others
// at once, its attempts kept.
func (k *Consumer) Close() {
	c := k.ch
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.leave(&k.holder)
	delete(c.consumers, k)
	c.settle()
}
