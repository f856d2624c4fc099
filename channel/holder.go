package channel

// holder is a consumer as the core sees it.
type holder struct {
	consumer *Consumer // the shell's, for whom wakeNext names
	id       uint64    // as it is shown
	index    uint32    // in inflight.holders
	timeout  int64     // how long a message may be in flight, ns
	// ownTimeout is what it asked for; with defaultTimeout it did not, and the channel's
	// settings may have another one.
	ownTimeout     int64
	defaultTimeout bool

	head, tail uint32   // its untouched messages in flight, see inflight
	touched    []uint32 // heap of its touched ones

	rdy      int64 // how many messages it accepts in flight
	inFlight int64

	delivered, finished, requeued uint64

	// A holder that is new or found nothing to take is parked until it is
	// woken. A parked one with credit is queued, see idleQueue.
	parked, queued bool
	// woken means that it was woken, and has not tried to take or lost its
	// credit since.
	woken              bool
	idlePrev, idleNext *holder // in the idleQueue

	locality Locality
	away     bool // see Consumer.SetAway
	gone     bool // it has left the channel
}

func (h *holder) credit() int64 { return h.rdy - h.inFlight }

// idleQueue holds the parked consumers that have credit: the nearest first, and
// of those of one locality the one that waits longest.
type idleQueue struct {
	head *holder
	last [localities]*holder // of each locality
}

func (q *idleQueue) push(h *holder) {
	h.queued = true
	before := q.last[h.locality]
	for nearer := h.locality + 1; before == nil && nearer < localities; nearer++ {
		before = q.last[nearer]
	}
	q.last[h.locality] = h
	h.idlePrev, h.idleNext = before, q.head
	if before != nil {
		h.idleNext = before.idleNext
		before.idleNext = h
	} else {
		q.head = h
	}
	if h.idleNext != nil {
		h.idleNext.idlePrev = h
	}
}

func (q *idleQueue) remove(h *holder) {
	h.queued = false
	if q.last[h.locality] == h {
		q.last[h.locality] = nil
		if before := h.idlePrev; before != nil && before.locality == h.locality {
			q.last[h.locality] = before
		}
	}
	if h.idlePrev != nil {
		h.idlePrev.idleNext = h.idleNext
	} else {
		q.head = h.idleNext
	}
	if h.idleNext != nil {
		h.idleNext.idlePrev = h.idlePrev
	}
	h.idlePrev, h.idleNext = nil, nil
}

// setCredit sets what h accepts and holds. A parked holder that comes to have
// credit waits for a wake from now on.
func (c *core) setCredit(h *holder, rdy, inFlight int64) {
	had := h.credit() > 0
	h.rdy, h.inFlight = rdy, inFlight
	has := h.credit() > 0
	switch {
	case has && !had:
		c.withCredit++
		c.creditByLocality[h.locality]++
		if h.parked {
			c.idle.push(h)
		}
	case had && !has:
		c.withCredit--
		c.creditByLocality[h.locality]--
		if h.queued {
			c.idle.remove(h)
		}
		c.unwake(h) // it comes for nothing: others need not wait for it
	}
}

// available is how many messages a consumer could take now.
func (c *core) available() uint64 {
	if c.paused || c.backingOff || c.closed {
		return 0
	}
	if c.bounded {
		return c.bound(c.ready())
	}
	return c.ready()
}

// wakeNext says whom the caller is to wake: one idle consumer if there is more
// to take than consumers on their way to take it, else nil. It is asked after
// each change of the core, and each take of a woken consumer is one, so while
// messages are available and a consumer is idle one is always on its way.
func (c *core) wakeNext() *holder {
	h := c.idle.head
	if h == nil || c.available() <= uint64(c.woken) {
		return nil
	}
	c.idle.remove(h)
	h.parked = false
	h.woken = true
	c.woken++
	c.wokenByLocality[h.locality]++
	return h
}

// unpark notes that h has come to take, woken or by itself.
func (c *core) unpark(h *holder) {
	c.unwake(h)
	if h.queued {
		c.idle.remove(h)
	}
	h.parked = false
}

// unwake notes that h, if it was woken, is no longer to be waited for.
func (c *core) unwake(h *holder) {
	if h.woken {
		h.woken = false
		c.woken--
		c.wokenByLocality[h.locality]--
	}
}

// park notes that h found nothing to take, for want of messages or of credit.
func (c *core) park(h *holder) {
	h.parked = true
	if h.credit() > 0 {
		c.idle.push(h)
	}
}

// join adds a consumer whose messages time out after timeout ns, unless it did not say
// and the channel's settings do. It is parked, without credit.
func (c *core) join(h *holder, timeout int64) {
	h.ownTimeout, h.parked = timeout, true
	c.setTimeout(h)
	if c.flight == noneInFlight {
		c.flight = newInflight()
	}
	for i, other := range c.flight.holders {
		if other == nil {
			h.index = uint32(i)
			c.flight.holders[i] = h
			return
		}
	}
	h.index = uint32(len(c.flight.holders))
	c.flight.holders = append(c.flight.holders, h)
}

// setAway has h get nothing more, and what it has be claimed by others.
func (c *core) setAway(h *holder) {
	h.away = true
	c.setCredit(h, 0, h.inFlight)
}

// leave takes the consumer out. What it has in flight waits for delivery
// again at once, in log order.
func (c *core) leave(h *holder) {
	if h.gone {
		return
	}
	h.gone = true
	c.unpark(h)
	var left []redelivery
	for i := c.flight.earliest(h); i != 0; i = c.flight.earliest(h) {
		left = append(left, c.flight.remove(i))
	}
	sortBySeq(left)
	for _, m := range left {
		c.comeBack(m)
	}
	c.setCredit(h, 0, 0)
	c.flight.holders[h.index] = nil
	if c.flight.len() == 0 {
		c.flight.clear()
	}
}
