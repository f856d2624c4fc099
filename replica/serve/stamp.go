package serve

import (
	"sync/atomic"

	"qmq/settings"
	"qmq/topic"
)

// stamped is the Stamp of a topic of which something was set.
type stamped struct {
	set   string
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
		return n.o.Common.ReplicaStamp(name, settings.Topic{})
	}
	return s.producer(name, incarnation).Stamp()
}

// Stamp is what is to be said of messages that are about to be published.
func (p *Producer) Stamp() *topic.Stamp {
	set := p.shard.machine.Settings(p.topic)
	if c := p.stamp.Load(); c != nil && c.set == set {
		return c.stamp
	}
	parsed, _ := settings.ParseTopic(set) // what it does not know is told where it is served
	c := &stamped{set: set, stamp: p.shard.n.o.Common.ReplicaStamp(p.name, parsed)}
	p.stamp.Store(c)
	return c.stamp
}
