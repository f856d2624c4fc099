package cluster

import "qmq/internal/nodeclient"

// Roles of a node for a replicated topic, as nodes say them.
const (
	roleLeader   = "leader"
	roleFollower = "follower"
)

// depose sees to it that one node at most counts for a replicated topic: nodes are asked
// one after the other, so one may have said that it leads just before another did. Of two
// leaders the one of the higher term is.
func (c *Cluster) depose() {
	terms := make(map[string]uint64)
	for _, n := range c.order {
		if !n.fresh(c.now) {
			continue
		}
		for _, t := range n.order {
			if t.replica.Role == roleLeader {
				terms[t.name] = max(terms[t.name], t.replica.Term)
			}
		}
	}
	if len(terms) == 0 {
		return
	}
	for _, n := range c.order {
		if n.fresh(c.now) {
			n.depose(terms)
		}
	}
}

// depose makes the node a follower where somebody leads of a higher term.
func (n *node) depose(terms map[string]uint64) {
	deposed := false
	for _, t := range n.order {
		if t.replica.Role == roleLeader && t.replica.Term < terms[t.name] {
			t.follow()
			deposed = true
		}
	}
	if !deposed {
		return
	}
	n.sums = sums{}
	for _, t := range n.order {
		n.sums.add(&t.sums)
	}
}

// follow leaves of what the node said of the topic what a follower says.
func (t *nodeTopic) follow() {
	t.replica.Role, t.rated = roleFollower, false
	t.own, t.sums = sums{}, sums{}
	for _, ch := range t.order {
		ch.sums = sums{consumers: ch.sums.consumers, ready: ch.sums.ready, channels: ch.sums.channels, paused: ch.sums.paused}
		ch.latency = nodeclient.Latency{}
		t.sums.addChannel(&ch.sums)
	}
}

// addReplica adds what the node is for the topic. Who leads a replicated topic changes
// while the topic stays what it is: its trends go on.
func (t *topicTotal) addReplica(n *node, nt *nodeTopic) {
	if nt.replica.Role == "" {
		t.answering += n.serial
		t.rated = t.rated || n.rated
		return
	}
	t.shared = true
	if nt.replica.Role == roleLeader {
		t.leader, t.rated = n, nt.rated
	}
}

// Serving lists the nodes that have messages of a channel: all that have it, or the
// leader of its topic.
func (c *Cluster) Serving(p Pair) []Target {
	t := c.topics[p.Topic]
	if t == nil || t.leader == nil {
		return c.Having(p)
	}
	return []Target{t.leader.target()}
}
