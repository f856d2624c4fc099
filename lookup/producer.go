package lookup

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/address"
)

// producer is one in a DB, from the moment it has identified itself to
// the end of its connection. heardOf may be called concurrently; the other
// methods belong to the producer's session, and leave is the last one.
type producer struct {
	Producer                // does not change
	views    []address.View // where others are told that it is; does not change
	db       *DB
	node     string                 // broadcast_address:http_port
	joined   int64                  // monotonic, at its IDENTIFY
	heard    atomic.Int64           // monotonic, at that or its last PING
	taking   atomic.Pointer[Taking] // as it said last; nil: it does not say
	twinTold bool                   // it was said that another announces its address; guarded by db.mu

	mu     sync.Mutex // guards what follows
	topics index[*topicEntry, *registration]
	hidden map[name]struct{} // what it had when that was deleted, and may still have
	left   bool              // nothing is added to hidden any more
}

// registration says that a producer has a topic and some of its channels.
type registration struct {
	producer     *producer
	index        int             // in the topic's list
	channels     []*channelEntry // in no order, each once
	tombstonedAt atomic.Int64    // monotonic, of the last tombstone; 0: there was none
}

// heardOf keeps the producer listed.
func (p *producer) heardOf() {
	now := p.db.monotonic()
	hidden, late := !p.isHeardOf(now), p.isLate(now)
	p.heard.Store(now)
	switch {
	case hidden:
		p.db.waiters.wakeAll()
	case late:
		p.db.waiters.wakeWriters()
	}
}

// says notes what followed a PING. What is not understood changes nothing.
func (p *producer) says(rest string) {
	if t, ok := parseTaking(rest); ok {
		p.take(t)
	}
}

// take notes which publishes the producer takes.
func (p *producer) take(t Taking) {
	if before := p.taking.Swap(&t); before == nil || before.Takes != t.Takes {
		p.db.waiters.wakeWriters()
	}
}

// register adds the producer to a topic and, unless it is empty, to a channel
// of it. What is registered already stays as it is, with its tombstone.
func (p *producer) register(topic, channel string) {
	s := p.db.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	isNew := s.topics.all[topic] == nil
	e := s.topic(topic)
	r := p.registrationOf(e)
	if r == nil {
		r = &registration{producer: p}
		e.add(r)
		e.revived = s.unhide(name{topic: topic}, p) && (isNew || e.revived)
		p.mu.Lock()
		p.topics.put(e, r)
		p.mu.Unlock()
		p.db.waiters.wake(topic)
	}
	if channel == "" {
		return
	}
	isNew = e.channels.all[channel] == nil
	if c := e.channel(channel); !slices.Contains(r.channels, c) {
		r.channels = append(r.channels, c)
		c.producers++
		c.revived = s.unhide(name{topic, channel}, p) && (isNew || c.revived)
	}
}

// unregister takes the producer from a channel, or from a topic and all its
// channels if channel is empty. An ephemeral one that no producer has any more
// is removed.
func (p *producer) unregister(topic, channel string) {
	s := p.db.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	if channel == "" {
		s.unhideTopic(topic, p)
	} else {
		s.unhide(name{topic, channel}, p)
	}
	e := s.topics.all[topic]
	if e == nil {
		return
	}
	if channel == "" {
		p.unregisterTopic(e)
		e.dropRevived()
		p.db.waiters.wake(topic)
		return
	}
	c := e.channels.all[channel]
	if c == nil {
		return
	}
	if r := p.registrationOf(e); r != nil {
		r.removeChannel(c)
	}
	e.dropIdleChannel(c)
	e.dropRevivedChannel(c)
}

// leave takes the producer from everything it has registered and from the list
// of nodes.
func (p *producer) leave() {
	p.db.mu.Lock()
	p.db.producers.remove(p)
	p.db.retract(p)
	p.db.mu.Unlock()
	p.mu.Lock()
	entries := make([]*topicEntry, 0, len(p.topics.all))
	for e := range p.topics.all {
		entries = append(entries, e)
	}
	p.mu.Unlock()
	for _, e := range entries {
		e.shard.mu.Lock()
		p.unregisterTopic(e)
		e.shard.mu.Unlock()
		p.db.waiters.wake(e.name)
	}
	p.db.waiters.wakeWriters()
	p.mu.Lock()
	p.left = true
	p.mu.Unlock()
	for _, n := range p.hiddenNames() {
		s := p.db.shardOf(n.topic)
		s.mu.Lock()
		s.unhide(n, p)
		s.mu.Unlock()
	}
}

// unregisterTopic takes the producer from a topic, if it is there, and its
// channels; e.shard.mu is locked for writing.
func (p *producer) unregisterTopic(e *topicEntry) {
	r := p.registrationOf(e)
	if r != nil {
		p.forget(e)
		e.remove(r)
		for _, c := range r.channels {
			c.producers--
			e.dropIdleChannel(c)
		}
	}
	e.dropIdle()
}

func (p *producer) registrationOf(e *topicEntry) *registration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topics.all[e]
}

// forget takes a topic out of the producer's own list.
func (p *producer) forget(e *topicEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics.remove(e)
}

// removeChannel takes a channel out of the registration's list and tells whether
// it was there; the topic's shard is locked for writing.
func (r *registration) removeChannel(c *channelEntry) bool {
	i := slices.Index(r.channels, c)
	if i < 0 {
		return false
	}
	last := len(r.channels) - 1
	r.channels[i] = r.channels[last]
	r.channels[last] = nil
	r.channels = trim(r.channels[:last])
	c.producers--
	return true
}

// isTombstoned tells whether a tombstone hides the producer now.
func (r *registration) isTombstoned(d *DB, now int64) bool {
	at := r.tombstonedAt.Load()
	return at != 0 && now-at < int64(d.o.TombstoneLifetime)
}

// isHeardOf tells whether the producer gave a sign of life lately.
func (p *producer) isHeardOf(now int64) bool {
	return now-p.heard.Load() <= int64(p.db.o.InactiveTimeout)
}

// lateAfter is after how long without a sign of life a producer counts as less
// healthy than others: it should have given two.
const lateAfter = 2*pingInterval + 10*time.Second

// isLate tells whether the producer misses signs of life that it should have given.
func (p *producer) isLate(now int64) bool { return now-p.heard.Load() > int64(lateAfter) }
