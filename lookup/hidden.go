package lookup

import (
	"maps"
	"slices"

	"qmq/internal/address"
)

// What is deleted over HTTP is remembered with the producers that had it, until
// these unregister it, register it again, or leave. Two things follow from
// that: whoever looks for the topic is told that nodes still have it; and a
// topic or channel that comes back only because such a producer registers it
// again goes with the last one that unregisters it. It was to be deleted, after
// all, and other names stay without producers.

// name is a topic, or a channel of it if channel is not empty.
type name struct{ topic, channel string }

// hide remembers that a producer has what is being deleted, unless it has left
// meanwhile; s.mu is locked for writing, as for all that follows.
func (s *shard) hide(n name, p *producer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left {
		return
	}
	if s.hidden == nil {
		s.hidden = make(map[name]map[*producer]struct{})
	}
	if s.hidden[n] == nil {
		s.hidden[n] = make(map[*producer]struct{})
	}
	s.hidden[n][p] = struct{}{}
	if p.hidden == nil {
		p.hidden = make(map[name]struct{})
	}
	p.hidden[n] = struct{}{}
}

// unhide forgets that a producer has something that was deleted, and tells
// whether it had.
func (s *shard) unhide(n name, p *producer) bool {
	if _, ok := s.hidden[n][p]; !ok {
		return false
	}
	delete(s.hidden[n], p)
	if len(s.hidden[n]) == 0 {
		delete(s.hidden, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.hidden, n)
	return true
}

// unhideTopic is unhide of a topic and all its channels.
func (s *shard) unhideTopic(topic string, p *producer) {
	for _, n := range p.hiddenNames() {
		if n.topic == topic {
			s.unhide(n, p)
		}
	}
}

func (p *producer) hiddenNames() []name {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.hidden))
}

// stillOn lists the nodes, as somebody is told of them, that have a topic though
// it was deleted; s.mu is locked for reading.
func (s *shard) stillOn(topic string, now int64, by address.Asker) (nodes []string) {
	for p := range s.hidden[name{topic: topic}] {
		if p.isHeardOf(now) {
			seen := p.seenBy(by)
			nodes = append(nodes, seen.WebAddress())
		}
	}
	slices.Sort(nodes)
	return nodes
}

// dropRevived removes a topic, or channels of it, that are there only because
// producers registered them again after a deletion, once no producer has them.
func (e *topicEntry) dropRevived() {
	for _, c := range e.channels.all {
		e.dropRevivedChannel(c)
	}
	if e.revived && len(e.registrations) == 0 && e.shard.topics.all[e.name] == e {
		e.shard.topics.remove(e.name)
	}
}

func (e *topicEntry) dropRevivedChannel(c *channelEntry) {
	if c.revived && c.producers == 0 {
		e.channels.remove(c.name)
	}
}
