package lookup

import (
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/internal/address"
	"qmq/internal/names"
)

// DBOptions are the times that decide who is listed.
type DBOptions struct {
	InactiveTimeout   time.Duration    // a producer not heard of for longer is hidden
	TombstoneLifetime time.Duration    // how long a tombstone hides a producer
	Now               func() time.Time // nil: time.Now
}

// DB holds which topics and channels there are and which producers have
// registered them. Topics and channels stay when their last producer has gone,
// unless they are ephemeral. Its methods may be called concurrently, and none
// keeps others waiting longer than it takes to go through one topic, through
// the topics of one producer, or through a small share of all topics.
//
// Locks are taken in the order shard, producer; db.mu is taken alone.
type DB struct {
	o     DBOptions
	start time.Time
	seed  maphash.Seed
	parts [shards]shard

	waiters waiters

	mu        sync.RWMutex // guards producers and announced
	producers index[*producer, struct{}]
	announced index[string, []*producer] // by address
}

// shards is how many parts the topics are spread over by name.
const shards = 256

// shard is a part of the topics.
type shard struct {
	mu     sync.RWMutex // guards topics and all that hangs on them, and hidden
	topics index[string, *topicEntry]
	hidden map[name]map[*producer]struct{} // who had what was deleted, and may still have it
}

// topicEntry is a topic that was registered or created.
type topicEntry struct {
	name          string
	shard         *shard
	registrations []*registration // in no order
	channels      index[string, *channelEntry]
	revived       bool // it is there only because producers registered it again after its deletion
}

// channelEntry is a channel of a topic.
type channelEntry struct {
	name      string
	producers int // how many registrations list it
	revived   bool
}

// NewDB makes an empty DB.
func NewDB(o DBOptions) *DB {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &DB{o: o, start: o.Now(), seed: maphash.MakeSeed()}
}

// monotonic is the time since the start, never 0, on the steady clock.
func (d *DB) monotonic() int64 { return int64(d.o.Now().Sub(d.start)) + 1 }

// wallTime is a time of that clock in ns since 1970.
func (d *DB) wallTime(monotonic int64) int64 { return d.start.UnixNano() + monotonic - 1 }

func (d *DB) shardOf(topic string) *shard {
	return &d.parts[maphash.String(d.seed, topic)%shards]
}

// join adds a producer, without topics, that some are told to find elsewhere.
func (d *DB) join(remoteAddress string, id Identity, views ...address.View) *producer {
	p := &producer{
		db:       d,
		Producer: Producer{RemoteAddress: remoteAddress, Identity: id},
		views:    views,
		node:     nodeOf(&id),
	}
	p.joined = d.monotonic()
	p.heard.Store(p.joined)
	d.mu.Lock()
	d.producers.put(p, struct{}{})
	d.announce(p)
	d.mu.Unlock()
	d.waiters.wakeWriters()
	return p
}

// createTopic adds a topic without producers, if it is not there.
func (d *DB) createTopic(topic string) {
	s := d.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topic(topic).revived = false
	d.waiters.wake(topic)
}

// createChannel adds a channel without producers, and its topic, if they are
// not there.
func (d *DB) createChannel(topic, channel string) {
	s := d.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.topic(topic)
	e.revived, e.channel(channel).revived = false, false
}

// deleteTopic removes a topic, its channels and all registrations of them.
func (d *DB) deleteTopic(topic string) {
	s := d.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.topics.all[topic]
	if e == nil {
		return
	}
	for _, r := range e.registrations {
		r.producer.forget(e)
		s.hide(name{topic: topic}, r.producer)
		for _, c := range r.channels {
			s.hide(name{topic, c.name}, r.producer)
		}
	}
	e.registrations = nil
	s.topics.remove(topic)
	d.waiters.wake(topic)
}

// deleteChannel removes a channel and all registrations of it; false means
// that it is not there.
func (d *DB) deleteChannel(topic, channel string) bool {
	s := d.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.topics.all[topic]
	if e == nil || e.channels.all[channel] == nil {
		return false
	}
	c := e.channels.all[channel]
	for _, r := range e.registrations {
		if r.removeChannel(c) {
			s.hide(name{topic, channel}, r.producer)
		}
	}
	e.channels.remove(channel)
	return true
}

// nodeOf names a node: broadcast_address:http_port, without brackets.
func nodeOf(id *Identity) string { return id.BroadcastAddress + ":" + strconv.Itoa(id.HTTPPort) }

// tombstone hides the producers on a node (broadcast_address:http_port, with
// brackets or without, as it announces itself or as who asks is told of it) from
// lookups of a topic for the tombstones' lifetime.
func (d *DB) tombstone(topic, node string, by address.Asker) {
	node = withoutBrackets(node)
	now := d.monotonic()
	s := d.shardOf(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.topics.all[topic]
	if e == nil {
		return
	}
	for _, r := range e.registrations {
		if r.producer.isCalled(node, by) {
			r.tombstonedAt.Store(now)
		}
	}
	d.waiters.wake(topic)
}

// topic finds or makes a topic; s.mu is locked for writing.
func (s *shard) topic(name string) *topicEntry {
	e := s.topics.all[name]
	if e == nil {
		e = &topicEntry{name: strings.Clone(name), shard: s} // name may be part of a long request
		s.topics.put(e.name, e)
	}
	return e
}

// channel finds or makes a channel; e.shard.mu is locked for writing, as it is
// for the methods that follow.
func (e *topicEntry) channel(name string) *channelEntry {
	c := e.channels.all[name]
	if c == nil {
		c = &channelEntry{name: strings.Clone(name)}
		e.channels.put(c.name, c)
	}
	return c
}

// dropIdleChannel removes an ephemeral channel that no producer has.
func (e *topicEntry) dropIdleChannel(c *channelEntry) {
	if c.producers == 0 && names.IsEphemeral(c.name) {
		e.channels.remove(c.name)
	}
}

// dropIdle removes an ephemeral topic that no producer has. The entry may be an
// old one of a topic that was deleted and is there again.
func (e *topicEntry) dropIdle() {
	if len(e.registrations) == 0 && names.IsEphemeral(e.name) && e.shard.topics.all[e.name] == e {
		e.shard.topics.remove(e.name)
	}
}

// add appends a registration.
func (e *topicEntry) add(r *registration) {
	r.index = len(e.registrations)
	e.registrations = append(e.registrations, r)
}

// remove takes a registration out of the list, whose last one takes its place.
func (e *topicEntry) remove(r *registration) {
	last := len(e.registrations) - 1
	moved := e.registrations[last]
	e.registrations[r.index], moved.index = moved, r.index
	e.registrations[last] = nil
	e.registrations = trim(e.registrations[:last])
}

// trim gives back the memory of a list that has become much shorter.
func trim[T any](list []T) []T {
	switch {
	case len(list) == 0:
		return nil
	case cap(list) > 16 && len(list) < cap(list)/4:
		return slices.Clone(list)
	}
	return list
}
