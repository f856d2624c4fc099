package lookup

import (
	"cmp"
	"slices"
	"strings"

	"qmq/internal/address"
)

// What is asked of a DB is gathered under its locks and sorted outside them.
// Lists are never nil, so that they are [] in JSON.

// topicNames are all topics.
func (d *DB) topicNames() []string {
	names := []string{}
	for i := range d.parts {
		s := &d.parts[i]
		s.mu.RLock()
		for name := range s.topics.all {
			names = append(names, name)
		}
		s.mu.RUnlock()
	}
	slices.Sort(names)
	return names
}

// channelNames are the channels of a topic; none if there is no such topic.
func (d *DB) channelNames(topic string) []string {
	s := d.shardOf(topic)
	s.mu.RLock()
	names := s.topics.all[topic].channelNames()
	s.mu.RUnlock()
	slices.Sort(names)
	return names
}

// channelNames are in no order; e may be nil.
func (e *topicEntry) channelNames() []string {
	if e == nil {
		return []string{}
	}
	names := make([]string, 0, len(e.channels.all))
	for name := range e.channels.all {
		names = append(names, name)
	}
	return names
}

// lookup is the answer, to somebody, to where a topic is; ok is false when there
// is no such topic.
func (d *DB) lookup(topic string, by address.Asker) (answer LookupAnswer, ok bool) {
	now := d.monotonic()
	s := d.shardOf(topic)
	s.mu.RLock()
	e := s.topics.all[topic]
	answer.StillOn = s.stillOn(topic, now, by)
	if e == nil {
		s.mu.RUnlock()
		return answer, false
	}
	answer.Channels = e.channelNames()
	listed := make([]*producer, 0, len(e.registrations))
	for _, r := range e.registrations {
		if r.producer.isHeardOf(now) && !r.isTombstoned(d, now) {
			listed = append(listed, r.producer)
		}
	}
	s.mu.RUnlock()

	slices.Sort(answer.Channels)
	slices.SortFunc(listed, inOrder)
	answer.Producers = make([]Producer, len(listed))
	for i, p := range listed {
		answer.Producers[i] = p.seenBy(by)
	}
	return answer, true
}

// inOrder sorts producers by the address under which they are reached.
func inOrder(a, b *producer) int {
	return cmp.Or(a.compare(&b.Identity), strings.Compare(a.RemoteAddress, b.RemoteAddress))
}

// nodes are the producers that are heard of, with all their topics, as somebody is
// told of them; if node (broadcast_address:http_port, with brackets or without) is
// not empty, only those that announce it, as they announce themselves.
func (d *DB) nodes(node string, by address.Asker) []Node {
	now := d.monotonic()
	node = withoutBrackets(node)
	listed := d.producerList()
	listed = slices.DeleteFunc(listed, func(p *producer) bool { return !p.isHeardOf(now) || node != "" && p.node != node })
	slices.SortFunc(listed, inOrder)
	nodes := make([]Node, len(listed))
	for i, p := range listed {
		nodes[i] = p.asNode(now)
		if node == "" {
			nodes[i].Producer = p.seenBy(by)
		}
	}
	d.markTwins(listed, nodes, now)
	return nodes
}

// addChannels adds to nodes the channels of their topics that they have
// registered.
func (d *DB) addChannels(nodes []Node) {
	byAddress := make(map[string]*Node, len(nodes))
	for i := range nodes {
		nodes[i].Channels = make([][]string, len(nodes[i].Topics))
		byAddress[nodes[i].RemoteAddress] = &nodes[i]
	}
	for _, p := range d.producerList() {
		n := byAddress[p.RemoteAddress]
		if n == nil {
			continue
		}
		for i, topic := range n.Topics {
			n.Channels[i] = p.channelNames(topic)
		}
	}
}

// channelNames are those that the producer has registered of a topic, sorted.
func (p *producer) channelNames(topic string) []string {
	names := []string{}
	s := p.db.shardOf(topic)
	s.mu.RLock()
	if e := s.topics.all[topic]; e != nil {
		if r := p.registrationOf(e); r != nil {
			for _, c := range r.channels {
				names = append(names, c.name)
			}
		}
	}
	s.mu.RUnlock()
	slices.Sort(names)
	return names
}

// producerList are all producers, in no order.
func (d *DB) producerList() []*producer {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]*producer, 0, len(d.producers.all))
	for p := range d.producers.all {
		all = append(all, p)
	}
	return all
}

func (p *producer) asNode(now int64) Node {
	type topic struct {
		name string
		dead bool
	}
	p.mu.Lock()
	topics := make([]topic, 0, len(p.topics.all))
	for e, r := range p.topics.all {
		topics = append(topics, topic{e.name, r.isTombstoned(p.db, now)})
	}
	p.mu.Unlock()

	slices.SortFunc(topics, func(a, b topic) int { return strings.Compare(a.name, b.name) })
	node := Node{Producer: p.Producer, Topics: make([]string, len(topics)), Tombstones: make([]bool, len(topics))}
	for i, t := range topics {
		node.Topics[i], node.Tombstones[i] = t.name, t.dead
	}
	return node
}

// debugEntry is one producer of one registration, as GET /debug shows it.
type debugEntry struct {
	ID               string `json:"id"`
	Hostname         string `json:"hostname"`
	BroadcastAddress string `json:"broadcast_address"`
	TCPPort          int    `json:"tcp_port"`
	HTTPPort         int    `json:"http_port"`
	Version          string `json:"version"`
	TopologyZone     string `json:"topology_zone"`
	TopologyRegion   string `json:"topology_region"`
	LastUpdate       int64  `json:"last_update"`   // ns since 1970
	Tombstoned       bool   `json:"tombstoned"`    // now
	TombstonedAt     int64  `json:"tombstoned_at"` // ns since 1970, or never
}

// never is when a producer without tombstone was tombstoned: the zero time in
// ns, as NSQ gives it.
const never = -6795364578871345152

// debugLines gives visit every registration that has producers, named
// category:key:subkey, in several portions.
func (d *DB) debugLines(visit func(map[string][]debugEntry) error) error {
	now := d.monotonic()
	portion := make(map[string][]debugEntry)
	for _, p := range d.producerList() {
		portion["client::"] = append(portion["client::"], p.debugEntry(now, 0))
	}
	if err := visit(portion); err != nil {
		return err
	}
	for i := range d.parts {
		if err := visit(d.parts[i].debugLines(d, now)); err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) debugLines(d *DB, now int64) map[string][]debugEntry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	portion := make(map[string][]debugEntry)
	for _, e := range s.topics.all {
		for _, r := range e.registrations {
			key := "topic:" + e.name + ":"
			portion[key] = append(portion[key], r.producer.debugEntry(now, r.tombstonedAt.Load()))
			for _, c := range r.channels {
				key := "channel:" + e.name + ":" + c.name
				// Tombstones are of topics.
				portion[key] = append(portion[key], r.producer.debugEntry(now, 0))
			}
		}
	}
	return portion
}

func (p *producer) debugEntry(now, tombstonedAt int64) debugEntry {
	d := debugEntry{
		ID:               p.RemoteAddress,
		Hostname:         p.Hostname,
		BroadcastAddress: p.BroadcastAddress,
		TCPPort:          p.TCPPort,
		HTTPPort:         p.HTTPPort,
		Version:          p.Version,
		TopologyZone:     p.TopologyZone,
		TopologyRegion:   p.TopologyRegion,
		LastUpdate:       p.db.wallTime(p.heard.Load()),
		TombstonedAt:     never,
	}
	if tombstonedAt != 0 {
		d.Tombstoned = now-tombstonedAt < int64(p.db.o.TombstoneLifetime)
		d.TombstonedAt = p.db.wallTime(tombstonedAt)
	}
	return d
}
