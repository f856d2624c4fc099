package replica

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"qmq/channel"
	"qmq/message"
	"qmq/topic"
)

const simAttempts = 3 // after which a message becomes a dead letter, where it may

// simConsumer is a client that consumes a channel, for a while.
type simConsumer struct {
	s       *simServer
	ch      *simChannel
	topic   *topic.Topic // nil: it is not subscribed yet
	of      *channel.Channel
	k       *channel.Consumer
	closed  atomic.Bool // by the server
	gone    bool
	timeout time.Duration
	ready   int
	until   time.Duration
	held    []*holding
	free    map[string]time.Duration // since when the first of a key is to be had
	looked  time.Duration            // when that was looked at last
}

// holding is a message that a consumer has.
type holding struct {
	*owed
	id     message.ID
	op     channel.AnswerOp
	at     time.Duration // when it is answered
	before bool          // it came before a rewind that reaches it
	times  bool          // out: at is when it has
}

// flyingKey is a key of a channel of which somebody has a message.
type flyingKey struct {
	ch  *simChannel
	key string
}

type flying struct {
	seq   uint64
	c     *simConsumer
	until time.Duration // it is not, from then on
}

// consume has the clients of a member do something now and then.
func (s *simServer) consume() {
	w := s.n.w
	s.n.later(w.between(5*time.Millisecond, 30*time.Millisecond), s.consume)
	if s.term == 0 || !s.d.ready {
		return
	}
	for _, ch := range s.d.channels {
		most, chance := 2, 0.3
		if w.ending && ch.until > 0 {
			most, chance = 1, 0.05 // it ends while nobody is there
		}
		if !ch.over && s.consumersOf(ch) < most && w.chance(chance) {
			s.subscribe(ch)
		}
	}
	for _, c := range slices.Clone(s.consumers) {
		if w.err == nil && w.chance(0.8) {
			c.turn()
		}
	}
}

func (s *simServer) consumersOf(ch *simChannel) (n int) {
	for _, c := range s.consumers {
		if c.ch == ch {
			n++
		}
	}
	return n
}

// subscribe has another client come.
func (s *simServer) subscribe(ch *simChannel) {
	w := s.n.w
	c := &simConsumer{s: s, ch: ch, timeout: w.between(200*time.Millisecond, time.Second), ready: 1 + w.rng.IntN(20), free: make(map[string]time.Duration)}
	c.until = w.now + w.between(100*time.Millisecond, 5*time.Second)
	s.consumers = append(s.consumers, c)
	var t *topic.Topic
	s.beside(func() (err error) {
		t, err = s.node.Topic("t", false)
		return err
	}, func(err error) {
		if err != nil || c.gone {
			c.leave()
			return
		}
		of, there := t.ExistingChannel(ch.name)
		if !there || of.Incarnation() != ch.incarnation {
			c.leave()
			return
		}
		k, err := of.Subscribe(channel.ConsumerOptions{MsgTimeout: c.timeout, Closed: func() { c.closed.Store(true) }})
		if err != nil {
			c.leave()
			return
		}
		c.topic, c.of, c.k = t, of, k
		k.SetReady(int64(c.ready))
	})
}

// lost is the end of the connection for the process that served it.
func (c *simConsumer) lost() { c.gone = true }

// leave ends the connection.
func (c *simConsumer) leave() {
	c.gone = true
	s := c.s
	s.consumers = slices.DeleteFunc(s.consumers, func(x *simConsumer) bool { return x == c })
	for k, f := range s.flying {
		if f.c == c {
			delete(s.flying, k)
		}
	}
	if c.k != nil {
		s.beside(func() error {
			c.k.Close()
			c.topic.ConsumerLeft(c.of)
			return nil
		}, func(error) {})
	}
}

// turn is what a client does at a time.
func (c *simConsumer) turn() {
	w := c.s.n.w
	switch {
	case c.k == nil:
		return
	case c.closed.Load() || w.now >= c.until && (!w.ending || c.ch.until > 0 && len(c.held) == 0):
		c.leave()
		return
	}
	c.answer()
	for n := c.k.Take(c, channel.MaxTake); w.ending && n > 0 && w.err == nil; n = c.k.Take(c, channel.MaxTake) {
		c.answer()
	}
	c.looksAhead()
}

// stale tells whether another member serves in a later term.
func (c *simConsumer) stale() bool { return c.s.term < c.s.d.leading }

// Put makes it a channel.Sink.
func (c *simConsumer) Put(m *channel.Message) bool {
	d, w := c.s.d, c.s.n.w
	d.counts.deliveries++
	_, seq, _ := m.ID.Split()
	x := c.ch.all[seq]
	var body simBody
	if err := json.Unmarshal(m.Body, &body); err != nil || x == nil || x.simBody != body {
		w.fail("channel %s delivers message %d, %q, which is not its", c.ch.name, d.place(seq), m.Body)
		return false
	}
	c.judge(x, m.Attempts)
	h := &holding{owed: x, id: m.ID}
	switch dice := w.rng.IntN(100); {
	case c.ch.buries && x.Poison:
		h.op = channel.Requeue
	case w.ending || dice < 85:
	case dice < 94:
		h.op = channel.Requeue
	case dice < 97:
		h.op = channel.Touch
	default: // it times out
		c.release(x)
		h.times = true
	}
	switch {
	case h.times:
		h.at = w.now + c.timeout + 50*time.Millisecond
	case !w.ending:
		h.at = w.now + w.between(time.Millisecond, 60*time.Millisecond)
	}
	c.held = slices.DeleteFunc(c.held, func(h *holding) bool { return h.owed == x })
	c.held = append(c.held, h)
	x.attempts = m.Attempts
	if !c.stale() {
		delete(c.ch.back, c.ch.keyOf(x.stored))
		if h.times {
			c.ch.comesBack(x, d.steady()+int64(c.timeout))
		}
	}
	return true
}

func (d *served) steady() int64 { return int64(d.w.now) }

// judge wants a delivery to be in order.
func (c *simConsumer) judge(x *owed, attempts uint16) {
	d, w, ch := c.s.d, c.s.n.w, c.ch
	key := ch.keyOf(x.stored)
	if early := x.due - time.Now().UnixMilli(); early > 0 {
		w.fail("channel %s delivers message %d %d ms before it is due", ch.name, d.place(x.seq), early)
	}
	if key == "" || c.stale() {
		return
	}
	k := flyingKey{ch, key}
	if f, there := c.s.flying[k]; there && f.seq != x.seq && w.now < f.until {
		w.fail("channel %s delivers message %d of key %s while somebody has %d", ch.name, d.place(x.seq), key, d.place(f.seq))
	}
	c.s.flying[k] = flying{x.seq, c, w.now + c.timeout - 2*time.Millisecond}
	if x.due > 0 || x.over() {
		return
	}
	if first := ch.head(key); first.seq < x.seq {
		w.fail("channel %s delivers message %d of key %s (attempt %d) before %d is done", ch.name, d.place(x.seq), key, attempts, d.place(first.seq))
	}
}

// release notes that the consumer does not have a message any more, or soon will not.
func (c *simConsumer) release(x *owed) {
	k := flyingKey{c.ch, c.ch.keyOf(x.stored)}
	if f, there := c.s.flying[k]; there && f.seq == x.seq {
		delete(c.s.flying, k)
	}
}

// answer answers what it is time for.
func (c *simConsumer) answer() {
	w := c.s.n.w
	var left []*holding
	for _, h := range c.held {
		switch {
		case h.at > w.now:
			left = append(left, h)
		case h.times:
		case h.op == channel.Touch:
			if c.say(h, channel.Touch, 0) {
				h.op, h.at = channel.Finish, w.now+w.between(0, 60*time.Millisecond)
				left = append(left, h)
			}
		default:
			delay := time.Duration(0)
			if h.op == channel.Requeue {
				delay = w.between(0, 300*time.Millisecond)
			}
			c.say(h, h.op, delay)
		}
	}
	c.held = left
}

// say says something of a message, and tells whether that counted.
func (c *simConsumer) say(h *holding, op channel.AnswerOp, delay time.Duration) bool {
	d, w := c.s.d, c.s.n.w
	a := []channel.Answer{{Op: op, ID: h.id, Delay: delay}}
	if op == channel.Requeue { // it may be delivered again before Answer returns
		c.release(h.owed)
	}
	c.k.Answer(a)
	if a[0].Err != nil {
		return false
	}
	if h.before && !c.stale() { // a former leader has not heard of the rewind, and what it takes does not count
		w.fail("channel %s takes an answer for message %d from before it was rewound", c.ch.name, d.place(h.seq))
	}
	switch op {
	case channel.Finish:
		c.release(h.owed)
		if !c.stale() {
			h.done = true
		}
	case channel.Requeue:
		if !c.stale() {
			c.ch.comesBack(h.owed, d.steady()+int64(delay))
		}
	case channel.Touch:
		k := flyingKey{c.ch, c.ch.keyOf(h.stored)}
		if f, there := c.s.flying[k]; there && f.seq == h.seq {
			f.until = w.now + c.timeout - 2*time.Millisecond
			c.s.flying[k] = f
		}
	}
	return true
}

// rewound notes that what the consumer has from a number on is not its any more.
func (c *simConsumer) rewound(start uint64) {
	for _, h := range c.held {
		h.before = h.before || h.seq >= start
	}
}

// looksAhead wants nothing to wait that could be had: a message that is held back, put off
// or spent holds up its own key alone.
func (c *simConsumer) looksAhead() {
	d, w, ch := c.s.d, c.s.n.w, c.ch
	applied, _ := c.s.n.machine.Applied()
	behind := applied+1 < uint64(len(w.truth.history))+firstEntry // it knows less than is known here
	stood := w.now-c.looked > 200*time.Millisecond                // the process was paused
	c.looked = w.now
	if c.stale() || behind || stood || len(c.held) >= c.ready/2 || w.now-c.s.since < 2*time.Second || len(ch.rewinds) > 0 {
		clear(c.free)
		return
	}
	const slack = 300 * time.Millisecond
	for _, key := range ch.names {
		x := ch.head(key)
		f, flies := c.s.flying[flyingKey{ch, key}]
		switch {
		case x == nil, flies && w.now < f.until+slack, c.heldUp(key, d.steady()-int64(slack)):
			delete(c.free, key)
		case c.free[key] == 0:
			c.free[key] = w.now
		case w.now-c.free[key] <= time.Second:
		default:
			w.fail("channel %s has message %d of key %s wait since %v, though it could come", ch.name, d.place(x.seq), key, c.free[key])
		}
	}
}

// heldUp tells whether a key waits for a message that came back: for its time, or to be a
// dead letter, which the server may not know yet that it is.
func (c *simConsumer) heldUp(key string, now int64) bool {
	x := c.ch.back[key]
	if x == nil || x.deferredUntil > now {
		return x != nil
	}
	return c.ch.buries && x.attempts >= simAttempts && (!x.buried || c.of.Stats().Spent > 0)
}

// left is what the channel has at whoever serves it; empty: nothing.
func (s *simServer) left(ch *simChannel) string {
	for _, c := range s.consumers {
		if c.ch == ch && c.of != nil {
			x := c.of.Stats()
			if x.Depth == 0 && x.InFlight == 0 && x.Deferred == 0 && x.Spent == 0 {
				return ""
			}
			return fmt.Sprintf("channel %s has depth %d, in flight %d, deferred %d, spent %d", ch.name, x.Depth, x.InFlight, x.Deferred, x.Spent)
		}
	}
	return "channel " + ch.name + " has no consumers"
}
