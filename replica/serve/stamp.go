package serve

import (
	"hash/fnv"
	"slices"
	"sync/atomic"

	"qmq/diskqueue"
	"qmq/replica/entry"
	"qmq/settings"
	"qmq/topic"
)

// What the settings of a topic find in the body of a message is looked for at the node that
// it is published on, which may not have applied the newest settings yet. So a part says by
// which ones it was stamped, and the leader, who has applied all settings that anybody was
// told of, refuses a part that was stamped by others. It tells the origin how far it has
// applied the shard. The origin waits until it has applied as much, stamps what it has
// anew, and sends it again under the same numbers.

// nameOf names what is set of a topic, which is the same text on all nodes that have applied
// it, and whether ids were looked for by a node that knew that doubles are left out: never 0.
func nameOf(set string, dedup bool) uint64 {
	h := fnv.New64a()
	h.Write([]byte(set))
	if !dedup {
		h.Write([]byte{0}) // no settings have one
	}
	return h.Sum64() | 1<<63
}

// outdated says that parts were stamped by other settings than the topic has, or by a node
// that did not know yet that doubles are left out, and how far they are applied that it has.
// What a node knows that this one has yet to hear of is taken.
func (v *Serving) outdated(topic, by uint64) (applied uint64, is bool) {
	if by == 0 {
		return 0, false
	}
	set := v.shard.machine.Settings(topic)
	if by == nameOf(set, true) || by == nameOf(set, false) && !v.shard.n.deduplicable() {
		return 0, false
	}
	applied, _ = v.shard.machine.Applied()
	return applied, true
}

// outdated has what is pending stamped anew, before it is sent again, by the settings of the
// leader who refused it. The caller holds p.mu.
func (p *Producer) outdated(no refused) {
	p.old, p.applied = true, max(p.applied, no.applied)
	p.rewind(min(p.sent, p.place(no.number)))
}

// renews says whether what is sent next will be stamped otherwise than it is. A node that has
// still to hear that doubles are left out has nothing else to say: it tries again in a while.
// The caller holds p.mu.
func (p *Producer) renews() bool {
	return p.sent == len(p.pending) || p.pending[p.sent].stamped.By != p.Stamp().By()
}

// restamp stamps what is pending by the settings that this node has; false: it has not those
// of the leader yet. The caller holds p.mu.
func (p *Producer) restamp() bool {
	if applied, _ := p.shard.machine.Applied(); applied < p.applied {
		return false
	}
	p.old = false
	stamp := p.Stamp()
	for i := range p.pending {
		if x := &p.pending[i]; x.repeat == nil && x.stamped.By != 0 && x.stamped.By != stamp.By() && x.done != nil {
			p.restampOne(i, stamp)
		}
	}
	return true
}

// restampOne stamps a batch anew. The caller holds p.mu.
func (p *Producer) restampOne(i int, stamp *topic.Stamp) {
	x := &p.pending[i]
	records, now, err := stamp.Restamp(x.part.Records, x.stamped)
	if err != nil { // it would not be taken either
		p.empty(i)
		x.done <- err
		x.done = nil
		return
	}
	grown := len(records) - len(x.part.Records)
	x.part = entry.Part{Topic: p.topic, Origin: x.part.Origin, Count: x.part.Count, Records: records}
	x.stamped = now
	x.size += grown
	p.bytes += grown
	if i < p.sent {
		p.sentSize += grown
	}
}

// stampedOf is how a batch is stamped, in memory of its own.
func stampedOf(b *diskqueue.Batch) diskqueue.Stamped {
	s := b.Stamped()
	s.Found = slices.Clone(s.Found)
	return s
}

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
		return n.stamp(name, "", n.deduplicable())
	}
	return s.producer(name, incarnation).Stamp()
}

// Stamp is what is to be said of messages that are about to be published.
func (p *Producer) Stamp() *topic.Stamp {
	set, dedup := p.shard.machine.Settings(p.topic), p.shard.n.deduplicable()
	if c := p.stamp.Load(); c != nil && c.set == set && c.dedup == dedup {
		return c.stamp
	}
	c := &stamped{set: set, dedup: dedup, stamp: p.shard.n.stamp(p.name, set, dedup)}
	p.stamp.Store(c)
	return c.stamp
}

// deduplicable says that what is a double is left out wherever it is applied.
func (n *Node) deduplicable() bool { return n.o.Deduplicable == nil || n.o.Deduplicable() }

// stamp is that of a topic of which set is set.
func (n *Node) stamp(name, set string, dedup bool) *topic.Stamp {
	parsed, _ := settings.ParseTopic(set) // what it does not know is told where it is served
	s := n.o.Common.ReplicaStamp(name, parsed, nameOf(set, dedup))
	if !dedup {
		return s.WithoutDedup()
	}
	return s
}
