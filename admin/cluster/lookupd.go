package cluster

import (
	"slices"
	"time"

	"qmq/internal/address"
	"qmq/lookup"
)

// lookupd is what is known of a directory.
type lookupd struct {
	address   string
	version   string
	asking    bool
	learning  bool      // its channels of topics without a node are being asked for
	versionAt time.Time // when it was last asked for its version
	asked     int       // answers there were
	at        time.Time // of the last question
	took      time.Duration
	contact
	topics []string
	nodes  []lookup.ClusterNode
	absent map[string]int // answers in a row without a node, by the node's address

	channels map[string]channelList // of topics that no node has

	unlisted   map[onNode]int // answers in a row that left out what a node has
	impossible []string       // what it lists that cannot be a node
}

// channelList are the channels of a topic as a directory knows them.
type channelList struct {
	names []string
	at    time.Time
}

// Channels of topics without a node are asked for a few at a time: only the
// page of directories shows them.
const (
	channelsEvery = 30 * time.Second
	channelsOnce  = 50
)

// wantsChannels lists the topics whose channels are to be asked for.
func (l *lookupd) wantsChannels(now time.Time) (topics []string) {
	for topic := range l.inactive() {
		if known, ok := l.channels[topic]; len(topics) < channelsOnce && (!ok || now.Sub(known.at) > channelsEvery) {
			topics = append(topics, topic)
		}
	}
	return topics
}

// inactive are the topics that it knows and that no node has, tombstones apart.
func (l *lookupd) inactive() map[string]bool {
	topics := make(map[string]bool)
	for _, topic := range l.topics {
		topics[topic] = true
	}
	for i := range l.nodes {
		for _, t := range l.nodes[i].Topics {
			if !t.Tombstoned {
				delete(topics, t.Topic)
			}
		}
	}
	return topics
}

// learn keeps the channels of topics that are still inactive.
func (l *lookupd) learn(found map[string][]string, now time.Time) {
	kept := make(map[string]channelList)
	for topic := range l.inactive() {
		if known, ok := l.channels[topic]; ok {
			kept[topic] = known
		}
		if names, ok := found[topic]; ok {
			kept[topic] = channelList{names, now}
		}
	}
	l.channels = kept
}

// NodeAddress is where a node that a directory knows is asked, and its id.
func NodeAddress(id *lookup.Identity) string { return address.Join(id.BroadcastAddress, id.HTTPPort) }

func tcpAddress(id *lookup.Identity) string { return address.Join(id.BroadcastAddress, id.TCPPort) }

// state is how it is shown.
func (l *lookupd) state(incomplete bool) Level {
	switch {
	case l.missed >= missedPolls || l.asked == 0 && l.missed > 0:
		return LevelCrit
	case incomplete:
		return LevelWarn
	}
	return levelOK
}

// heard takes an answer of a directory. It tells whether there are nodes that
// nobody knew.
func (c *Cluster) heard(l *lookupd, topics []string, nodes []lookup.ClusterNode, now time.Time) (news bool) {
	nodes = l.usable(nodes)
	l.topics, l.nodes = topics, nodes
	l.asked++
	l.answered()
	listed := make(map[string]bool, len(nodes))
	for i := range nodes {
		known := &nodes[i]
		address := NodeAddress(&known.Identity)
		listed[address] = true
		n := c.nodes[address]
		if n == nil {
			n = newNode(address, address)
			c.nodes[address] = n
			news = true
		}
		n.introduce(&known.Identity)
		n.registered[l.address] = true
	}
	for address, n := range c.nodes {
		if listed[address] {
			l.absent[address] = 0
			continue
		}
		l.absent[address]++
		delete(n.registered, l.address)
	}
	c.collectTombstones()
	l.compare(c, now)
	c.findTwins(now)
	c.forgetNodes(now)
	c.sortNodes()
	return news
}

// introduce takes what a directory says of the node. The node itself knows
// better.
func (n *node) introduce(id *lookup.Identity) {
	if n.introduced {
		return
	}
	n.host, n.tcp, n.zone, n.region, n.version = id.Hostname, tcpAddress(id), id.TopologyZone, id.TopologyRegion, id.Version
}

// collectTombstones marks what is tombstoned in any directory.
func (c *Cluster) collectTombstones() {
	for _, n := range c.nodes {
		clear(n.tombstoned)
	}
	for _, l := range c.lookupds {
		for i := range l.nodes {
			n := c.nodes[NodeAddress(&l.nodes[i].Identity)]
			if n == nil {
				continue
			}
			for _, t := range l.nodes[i].Topics {
				if t.Tombstoned {
					n.tombstoned[t.Topic] = true
				}
			}
		}
	}
}

// forgetNodes drops nodes that no directory knows and that do not answer.
func (c *Cluster) forgetNodes(now time.Time) {
	for address, n := range c.nodes {
		switch {
		case len(n.registered) > 0 || n.missed == 0:
			n.gone = time.Time{}
		case n.gone.IsZero():
			n.gone = now
		case now.Sub(n.gone) > forgetAfter:
			for _, t := range n.topics {
				t.free(&c.budget)
			}
			n.history.free(&c.budget)
			for _, l := range c.lookupds {
				delete(l.absent, address)
			}
			delete(c.nodes, address)
		}
	}
}

// SetLookupds changes the directories and keeps what is known of those that
// stay.
func (c *Cluster) SetLookupds(addresses []string) {
	kept := make(map[string]*lookupd)
	for _, l := range c.lookupds {
		kept[l.address] = l
	}
	c.lookupds = nil
	for i, address := range addresses {
		if slices.Contains(addresses[:i], address) {
			continue
		}
		l := kept[address]
		if l == nil {
			l = &lookupd{address: address, absent: make(map[string]int), channels: make(map[string]channelList)}
		}
		delete(kept, address)
		c.lookupds = append(c.lookupds, l)
	}
	for address := range kept {
		for _, n := range c.nodes {
			delete(n.registered, address)
		}
	}
}
