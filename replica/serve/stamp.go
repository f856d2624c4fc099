package serve

import (
	"sync/atomic"

	"qmq/settings"
	"qmq/topic"
)

// stamped is the Stamp of a topic of which something was set.
type stamped struct {
	set   string
	dedup bool
	stamp *topic.Stamp
}

// stampCache is the Stamp that was asked for last; read without a lock, it never changes.
type stampCache = atomic.Pointer[stamped]

// Stamp is what is to be said of messages that are about to be published to the topic of
// a name, as far as this node has applied what was set of it.
func (n *Node) Stamp(name string) *topic.Stamp {
	s := n.shardOf(name)
	incarnation, there := s.machine.Incarnation(name)
	if !there { // it is made by the publish
		return n.stamp(name, settings.Topic{}, n.deduplicable())
	}
	return s.producer(name, incarnation).Stamp()
}

// Stamp is what is to be said of messages that are about to be published.
func (p *Producer) Stamp() *topic.Stamp {
	set, dedup := p.shard.machine.Settings(p.topic), p.shard.n.deduplicable()
	if c := p.stamp.Load(); c != nil && c.set == set && c.dedup == dedup {
		return c.stamp
	}
	parsed, _ := settings.ParseTopic(set) // what it does not know is told where it is served
	c := &stamped{set: set, dedup: dedup, stamp: p.shard.n.stamp(p.name, parsed, dedup)}
	p.stamp.Store(c)
	return c.stamp
}

// deduplicable says that what is a double is left out wherever it is applied.
func (n *Node) deduplicable() bool { return n.o.Deduplicable == nil || n.o.Deduplicable() }

// stamp is that of a topic of which set is set.
func (n *Node) stamp(name string, set settings.Topic, dedup bool) *topic.Stamp {
	s := n.o.Common.ReplicaStamp(name, set)
	if !dedup {
		return s.WithoutDedup()
	}
	return s
}
