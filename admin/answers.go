package admin

import (
	"context"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/nodeclient"
)

// These are the questions of the collector. What the answers mean is for the
// cluster.

func (c *collector) askLookupd(ctx context.Context, q *cluster.LookupdQuestion) {
	start := time.Now()
	address := []string{q.Address}
	var a cluster.LookupdAnswer
	var err error
	a.Nodes, err = c.up.directory.Nodes(ctx, address)
	a.Took = time.Since(start)
	if err == nil {
		a.Topics, err = c.up.directory.Topics(ctx, address)
	}
	if err == nil && q.Version {
		a.Version, _ = c.up.lookupdVersion(ctx, q.Address) // it is for people only
	}
	if c.heard(q, a, err) {
		c.askChannels(ctx, q)
	}
}

// heard takes the answer of a directory. It tells whether to ask more of it.
func (c *collector) heard(q *cluster.LookupdQuestion, a cluster.LookupdAnswer, err error) (learn bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.cluster.LookupdMissed(q, reason(err), time.Now())
		return false
	}
	news, learn := c.cluster.LookupdAnswered(q, a, time.Now())
	if news {
		c.poke()
	}
	return learn
}

// askChannels asks for the channels of topics without a node.
func (c *collector) askChannels(ctx context.Context, q *cluster.LookupdQuestion) {
	c.mu.Lock()
	topics := c.cluster.WantsChannels(q, time.Now())
	c.mu.Unlock()
	found := make(map[string][]string, len(topics))
	for _, topic := range topics {
		if names, err := c.up.directory.Channels(ctx, []string{q.Address}, topic); err == nil {
			found[topic] = names
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cluster.LearnChannels(q, found, time.Now())
}

func (c *collector) askNode(ctx context.Context, q *cluster.NodeQuestion) {
	start := time.Now()
	stats, err := c.up.nodes.Stats(ctx, q.Address, nodeclient.Wanted{Memory: q.Memory}, q.Decoder)
	a := cluster.NodeAnswer{Stats: stats, Took: time.Since(start)}
	if err == nil && q.WantsInfo(stats.StartTime) {
		if info, err := c.up.nodes.Info(ctx, q.Address); err == nil {
			a.Info = &info
		}
	}
	if err == nil && q.WantsSet(stats.Version, stats.StartTime) {
		if set, err := c.up.nodes.Set(ctx, q.Address); err == nil {
			a.SetAsked, a.Set = true, set
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.cluster.NodeMissed(q, reason(err), time.Now())
		return
	}
	c.cluster.NodeAnswered(q, a, time.Now())
}
