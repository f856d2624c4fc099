package channel

import (
	"cmp"
	"slices"
)

// Stats are a channel's numbers at one moment. Counters start at 0 with the
// process.
type Stats struct {
	Depth    int64 // what a new consumer could get now
	Cursor   uint64
	InFlight int
	Deferred int
	Held     int // messages that wait for others of their keys, of those that were looked at

	MessageCount uint64 // messages that came into the channel
	Delivered    uint64 // messages given to consumers, each time anew
	ZoneLocal    uint64 // of them, to consumers of the same zone
	RegionLocal  uint64 // of them, to others of the same region
	RequeueCount uint64
	TimeoutCount uint64
	Dropped      uint64 // messages taken away because the topic had no room
	Expired      uint64 // messages taken away because they were too old

	// DeadLettered messages were published to the dead-letter topic and finished, Spent
	// ones wait for that; SpentError is why the last try failed, nil when it did not.
	DeadLettered uint64
	Spent        int
	Stopped      int // spent messages that stay, and hold back what comes after them
	SpentError   error

	// Until is the first number that a bounded channel does not get, 0 for all others; Done
	// says that everything below is finished. Rewound is when the channel was rewound last,
	// ms since 1970; 0: never.
	Until   uint64
	Done    bool
	Rewound uint64
	Rewinds uint64 // since the process began

	Paused    bool
	Consumers []ConsumerStats // by ID
}

// ConsumerStats are a consumer's numbers.
type ConsumerStats struct {
	ID           uint64
	Ready        int64 // RDY
	InFlight     int64
	MessageCount uint64 // messages delivered to it
	FinishCount  uint64
	RequeueCount uint64
}

// Stats returns the channel's numbers. Deferred messages that are due count as
// waiting, but for a moment when there are more than a thousand of them.
func (c *Channel) Stats() Stats {
	s := c.stats()
	slices.SortFunc(s.Consumers, func(a, b ConsumerStats) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

func (c *Channel) stats() Stats {
	now := c.o.Clock.Now()
	c.mu.Lock()
	defer c.unlock()
	c.core.moveDue(now)
	s := Stats{
		Depth:        int64(c.core.depth()),
		Cursor:       c.core.cursor,
		InFlight:     c.core.flight.len(),
		Deferred:     c.core.deferred.Len(),
		Held:         c.core.heldBack(),
		MessageCount: c.core.messages,
		ZoneLocal:    c.core.delivered[SameZone],
		RegionLocal:  c.core.delivered[SameRegion],
		RequeueCount: c.core.requeued,
		TimeoutCount: c.core.timedOut,
		DeadLettered: c.core.conf.deadLettered,
		Spent:        len(c.core.conf.spent.waiting),
		SpentError:   c.core.conf.letterError,
		Dropped:      c.core.discardedFor(Dropped),
		Expired:      c.core.discardedFor(Expired),
		Until:        c.core.conf.until,
		Done:         c.core.isDone(),
		Rewinds:      c.core.conf.rewinds,
		Rewound:      min(c.core.conf.rewound, uint64(c.o.Clock.Wall()/1e6)),
		Paused:       c.core.paused,
		Consumers:    make([]ConsumerStats, 0, len(c.consumers)),
	}
	if c.core.conf.stops {
		s.Spent, s.Stopped = 0, s.Spent
	}
	for _, n := range c.core.delivered {
		s.Delivered += n
	}
	for k := range c.consumers {
		s.Consumers = append(s.Consumers, k.stats())
	}
	return s
}

// Stats returns the consumer's numbers.
func (k *Consumer) Stats() ConsumerStats {
	k.ch.mu.Lock()
	defer k.ch.mu.Unlock()
	return k.stats()
}

func (k *Consumer) stats() ConsumerStats {
	h := &k.holder
	return ConsumerStats{
		ID: h.id, Ready: h.rdy, InFlight: h.inFlight,
		MessageCount: h.delivered, FinishCount: h.finished, RequeueCount: h.requeued,
	}
}
