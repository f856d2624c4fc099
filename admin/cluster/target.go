package cluster

import "time"

// Target is a node to ask.
type Target struct {
	ID, Address, Name, Kind, Version string
	Missed                           bool // it gave no answer to the last question
}

// target is the node as it is asked.
func (n *node) target() Target {
	return Target{n.id, n.address, n.name, n.kind(), n.version, n.missed > 0}
}

// Having lists the nodes that have a channel, or a topic if there is no
// channel.
func (c *Cluster) Having(p Pair) (targets []Target) {
	for _, n := range c.order {
		t := n.topics[p.Topic]
		if t == nil {
			continue
		}
		if _, ok := t.channels[p.Channel]; ok || p.Channel == "" {
			targets = append(targets, n.target())
		}
	}
	return targets
}

// Doors lists the nodes at which settings of a channel, or of a topic if there is no
// channel, are changed: all that have it for themselves, and one of those that have it
// together, which is the leader, or another that answers. Those that are no qd have no
// settings.
func (c *Cluster) Doors(p Pair) (targets []Target) {
	var door *node
	for _, n := range c.order {
		switch {
		case !c.has(n.id, p) || n.kind() == "nsqd":
		case n.topics[p.Topic].replica.Role == "":
			targets = append(targets, n.target())
		case door == nil || n.isDoor(p.Topic) > door.isDoor(p.Topic):
			door = n
		}
	}
	if door != nil {
		targets = append(targets, door.target())
	}
	return targets
}

// isDoor is how well a member of a set serves to change one of its topics.
func (n *node) isDoor(topic string) (points int) {
	if n.missed == 0 {
		points += 2
	}
	if n.topics[topic].replica.Role == roleLeader {
		points++
	}
	return points
}

// TargetCalled finds a node by its id.
func (c *Cluster) TargetCalled(id string) (to Target, ok bool) {
	n := c.node(id)
	if n == nil {
		return Target{}, false
	}
	return n.target(), true
}

// Quiet tells whether nobody can get messages of a channel: it is paused on all nodes that
// have it, or has no consumers. Of a node that is silent that is not known.
func (c *Cluster) Quiet(p Pair) bool {
	t := c.topics[p.Topic]
	if t == nil || t.channels[p.Channel] == nil {
		return false
	}
	ch := t.channels[p.Channel]
	return ch.silent == 0 && (ch.sums.consumers == 0 || int(ch.sums.paused) == ch.nodes)
}

// TCPOf are the addresses at which clients reach the nodes that have a topic and answer.
func (c *Cluster) TCPOf(topic string) (addresses []string) {
	for _, n := range c.order {
		if n.topics[topic] != nil && n.tcp != "" && n.missed == 0 {
			addresses = append(addresses, n.tcp)
		}
	}
	return addresses
}

// Waiting is how many messages of a channel are ready, inflight or deferred, by
// the last answers.
func (c *Cluster) Waiting(p Pair, state string) int64 {
	t := c.topics[p.Topic]
	if t != nil && p.Channel == "" {
		return t.own.depth
	}
	if t == nil || t.channels[p.Channel] == nil {
		return 0
	}
	s := &t.channels[p.Channel].sums
	return map[string]int64{"ready": s.depth, "inflight": s.inFlight, "deferred": s.deferred}[state]
}

// SilentShare is what a silent node has of topics or channels, by its last answer.
type SilentShare struct {
	Node     string `json:"node"`
	Name     string `json:"name"`
	Seen     *int64 `json:"seen"` // when that was; null: it never answered
	Targets  int    `json:"targets"`
	Messages int64  `json:"messages"` // that would go
}

// SilentShares are what silent nodes have of topics or channels; all is as Holds has it.
func (c *Cluster) SilentShares(pairs []Pair, all bool) []SilentShare {
	list := []SilentShare{}
	for _, n := range c.order {
		if n.fresh(c.now) {
			continue
		}
		s := SilentShare{Node: n.id, Name: n.name, Seen: millis(n.at)}
		for _, p := range pairs {
			if c.has(n.id, p) {
				held, _ := c.Holds(n.id, p, all)
				s.Targets, s.Messages = s.Targets+1, s.Messages+held
			}
		}
		if s.Targets > 0 {
			list = append(list, s)
		}
	}
	return list
}

// Holds is how many messages a node has, by its last answer, that an action takes
// away: what waits in a topic, or all of a channel, or, with all, of a topic and
// its channels. Seen is when that was; zero: nothing is known.
func (c *Cluster) Holds(node string, p Pair, all bool) (messages int64, seen time.Time) {
	n := c.node(node)
	if n == nil || !c.has(node, p) {
		return 0, time.Time{}
	}
	t := n.topics[p.Topic]
	switch {
	case p.Channel != "":
		return t.channels[p.Channel].sums.held(), n.at
	case all:
		return t.sums.held(), n.at
	}
	return t.own.depth, n.at
}
