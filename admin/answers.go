package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"qmq/internal/nodeclient"
	"qmq/lookup"
)

// These are the questions of the collector, and what it makes of the answers.

func (c *collector) askLookupd(ctx context.Context, l *lookupd, askVersion bool) {
	start := time.Now()
	address := []string{l.address}
	nodes, err := c.up.directory.Nodes(ctx, address)
	took := time.Since(start)
	var topics []string
	if err == nil {
		topics, err = c.up.directory.Topics(ctx, address)
	}
	version := ""
	if err == nil && askVersion {
		version, _ = c.up.lookupdVersion(ctx, l.address) // it is for people only
	}
	if c.heard(l, topics, nodes, took, version, err) {
		channels := c.inactiveChannels(ctx, l)
		c.mu.Lock()
		defer c.mu.Unlock()
		l.learn(channels, time.Now())
		l.learning = false
	}
}

// heard takes the answer of a directory. It tells whether to ask more of it,
// for which no next question waits.
func (c *collector) heard(l *lookupd, topics []string, nodes []lookup.ClusterNode, took time.Duration, version string, err error) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	l.asking = false
	if err != nil {
		l.miss(now, reason(err))
		return false
	}
	if !slices.Contains(c.cluster.lookupds, l) {
		return false // it was taken off the list meanwhile
	}
	l.took, l.version = took, cmp.Or(version, l.version)
	if c.cluster.heard(l, topics, nodes, now) {
		c.poke()
	}
	ok, l.learning = !l.learning, true
	return ok
}

// inactiveChannels asks for the channels of topics without a node.
func (c *collector) inactiveChannels(ctx context.Context, l *lookupd) map[string][]string {
	c.mu.Lock()
	topics := l.wantsChannels(time.Now())
	c.mu.Unlock()
	found := make(map[string][]string, len(topics))
	for _, topic := range topics {
		if names, err := c.up.directory.Channels(ctx, []string{l.address}, topic); err == nil {
			found[topic] = names
		}
	}
	return found
}

func (c *collector) askNode(ctx context.Context, n *node, w nodeclient.Wanted) {
	start := time.Now()
	stats, err := c.up.nodes.Stats(ctx, n.address, w, &n.decoder)
	took := time.Since(start)
	var info *nodeclient.Info
	if err == nil && (!n.introduced || n.infoOf != stats.StartTime) {
		if i, err := c.up.nodes.Info(ctx, n.address); err == nil {
			info = &i
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.asking = false
	if c.cluster.nodes[n.address] != n {
		return // it was forgotten meanwhile
	}
	now := time.Now()
	if err != nil {
		n.miss(now, reason(err))
		return
	}
	n.answered()
	n.took = took
	if info != nil {
		c.introduce(n, info, stats.StartTime)
	}
	if restarted := n.take(&c.cluster.budget, stats, now, c.cluster.wasEmptied); restarted {
		c.cluster.mark(mark{at: now, text: shortName(n.name) + " restarted", kind: "restart", node: n.id})
	}
}

// introduce takes what a node says of itself.
func (c *collector) introduce(n *node, info *nodeclient.Info, start int64) {
	id := lookup.Identity{BroadcastAddress: info.BroadcastAddress, TCPPort: info.TCPPort, HTTPPort: info.HTTPPort}
	if len(c.up.direct) > 0 {
		n.id = nodeAddress(&id)
	}
	n.host, n.tcp, n.zone, n.region = info.Hostname, tcpAddress(&id), info.TopologyZone, info.TopologyRegion
	n.introduced, n.infoOf = true, start
	c.cluster.sortNodes()
}
