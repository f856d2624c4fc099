package cluster

import (
	"cmp"
	"slices"
	"time"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
	"qmq/lookup"
)

// How often is asked.
const (
	LiveInterval = time.Second      // while somebody looks
	IdleInterval = 10 * time.Second // so that there are charts when somebody comes
	LookupEvery  = 5 * time.Second
	memoryEvery  = 10 * time.Second // it makes nsqd stop for a moment
	versionEvery = time.Minute
	setEvery     = time.Minute // of a node that is in none; members are asked each time
)

// NodeQuestion is a question to a node. It may be read without a lock: nothing in
// it changes.
type NodeQuestion struct {
	node       *node
	Address    string
	Memory     bool                // how much memory it takes is asked as well
	Decoder    *nodeclient.Decoder // of the node: it has one question at a time
	introduced bool
	infoOf     int64
	set        bool
}

// WantsInfo tells whether a node whose process began at start is to be asked who
// it is.
func (q *NodeQuestion) WantsInfo(start int64) bool { return !q.introduced || q.infoOf != start }

// WantsSet tells whether a node of this version, whose process began at start, is to be
// asked for its set. nsqd has none.
func (q *NodeQuestion) WantsSet(version string, start int64) bool {
	return kindOf(version) == "qd" && (q.set || q.WantsInfo(start))
}

// NodeAnswer is what a node said.
type NodeAnswer struct {
	SetAsked bool            // and answered
	Set      *nodeclient.Set // nil: it is in none

	Stats *nodeclient.Stats
	Info  *nodeclient.Info // nil: it was not asked, or did not say
	Took  time.Duration
}

// LookupdQuestion is a question to a directory. It may be read without a lock:
// nothing in it changes.
type LookupdQuestion struct {
	lookupd *lookupd
	Address string
	Version bool // its version is asked as well
}

// LookupdAnswer is what a directory said.
type LookupdAnswer struct {
	Topics  []string
	Nodes   []lookup.ClusterNode
	Version string // empty: it was not asked, or did not say
	Took    time.Duration
}

// Due begins the questions that are due at now. Whoever still owes the answer to
// the last one is not asked, and has missed this one. Each question ends with
// one call of an answered or missed.
func (c *Cluster) Due(now time.Time) (lookupds []*LookupdQuestion, nodes []*NodeQuestion) {
	for _, l := range c.lookupds {
		if now.Sub(l.at) < LookupEvery-LiveInterval/2 {
			continue
		}
		q := &LookupdQuestion{lookupd: l, Address: l.address, Version: l.version == "" || now.Sub(l.versionAt) >= versionEvery}
		l.at = now
		if l.asking {
			l.miss(now, "no answer in time")
			continue
		}
		l.asking = true
		if q.Version {
			l.versionAt = now
		}
		lookupds = append(lookupds, q)
	}
	for _, n := range c.order {
		if n.asking {
			if now.Sub(n.asked) >= LiveInterval*9/10 {
				n.miss(now, "no answer in time")
			}
			continue
		}
		n.asking, n.asked = true, now
		q := &NodeQuestion{node: n, Address: n.address, Memory: now.Sub(n.memoryAt) >= memoryEvery, Decoder: &n.decoder, introduced: n.introduced, infoOf: n.infoOf, set: n.set != nil || now.Sub(n.setAt) >= setEvery}
		if q.Memory {
			n.memoryAt = now
		}
		nodes = append(nodes, q)
	}
	return lookupds, nodes
}

// NodeAnswered takes the answer of a node.
func (c *Cluster) NodeAnswered(q *NodeQuestion, a NodeAnswer, now time.Time) {
	n := q.node
	n.asking = false
	if c.nodes[n.address] != n {
		return // it was forgotten meanwhile
	}
	n.answered()
	n.took = a.Took
	if a.Info != nil {
		c.introduce(n, a.Info, a.Stats.StartTime)
	}
	if a.SetAsked {
		n.set, n.setAt = a.Set, now
	}
	if restarted := n.take(&c.budget, a.Stats, now, c.wasEmptied); restarted {
		c.Mark(Mark{At: now, Text: words.ShortName(n.name) + " restarted", Kind: "restart", Node: n.id})
	}
}

// NodeMissed notes that a node gave no answer, and why.
func (c *Cluster) NodeMissed(q *NodeQuestion, problem string, now time.Time) {
	q.node.asking = false
	q.node.miss(now, problem)
}

// introduce takes what a node says of itself.
func (c *Cluster) introduce(n *node, info *nodeclient.Info, start int64) {
	id := lookup.Identity{BroadcastAddress: info.BroadcastAddress, TCPPort: info.TCPPort, HTTPPort: info.HTTPPort}
	if c.given {
		n.id = NodeAddress(&id)
	}
	n.host, n.tcp, n.zone, n.region = info.Hostname, tcpAddress(&id), info.TopologyZone, info.TopologyRegion
	n.introduced, n.infoOf = true, start
	c.sortNodes()
}

// LookupdAnswered takes the answer of a directory. There is news if it knows nodes
// that nobody knew. With learn, wantsChannels is to be asked next, for which no
// next question waits, and learnt to be called.
func (c *Cluster) LookupdAnswered(q *LookupdQuestion, a LookupdAnswer, now time.Time) (news, learn bool) {
	l := q.lookupd
	l.asking = false
	if !slices.Contains(c.lookupds, l) {
		return false, false // it was taken off the list meanwhile
	}
	l.took, l.version = a.Took, cmp.Or(a.Version, l.version)
	news = c.heard(l, a.Topics, a.Nodes, now)
	learn, l.learning = !l.learning, true
	return news, learn
}

// LookupdMissed notes that a directory gave no answer, and why.
func (c *Cluster) LookupdMissed(q *LookupdQuestion, problem string, now time.Time) {
	q.lookupd.asking = false
	q.lookupd.miss(now, problem)
}

// WantsChannels lists the topics whose channels a directory is to be asked for.
func (c *Cluster) WantsChannels(q *LookupdQuestion, now time.Time) (topics []string) {
	return q.lookupd.wantsChannels(now)
}

// LearnChannels takes the channels of topics that no node has.
func (c *Cluster) LearnChannels(q *LookupdQuestion, found map[string][]string, now time.Time) {
	q.lookupd.learn(found, now)
	q.lookupd.learning = false
}
