package cluster

import (
	"strings"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// TestViewsLeaveOutSilentNodesAndSaySo goes through the views: what only a silent node
// has is not known, and what it had a part of is marked.
func TestViewsLeaveOutSilentNodesAndSaySo(t *testing.T) {
	c, now := clusterOf("a", "b")
	onlyB := nodeclient.Channel{Name: "alone", Messages: 9, Depth: 9}
	for s := range 20 {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, 10, 5), at)
		if s < 10 {
			stats := statsAt(1, 10, 7)
			stats.Topics[0].Channels = append(stats.Topics[0].Channels, onlyB)
			stats.Topics = append(stats.Topics, nodeclient.Topic{Name: "u", Messages: 9, Depth: 2, Channels: []nodeclient.Channel{onlyB}})
			c.hear("b", stats, at)
		} else {
			c.nodes["b:4151"].miss(at, "no answer in time")
		}
		c.Update(at, time.Second)
	}
	topic := func(name string) *topicView {
		return c.Build(View{Kind: "topic", Topic: name}, Consumers{}).(*topicView)
	}
	channel := func(topic, name string) *ChannelView {
		return c.Build(View{Kind: "channel", Topic: topic, Channel: name}, Consumers{}).(*ChannelView)
	}
	rows := c.TopicsView().Rows
	both, alone := topic("t"), topic("u")
	since := "; without b since {t:1773324009000}"
	for name, test := range map[string]struct{ got, want any }{
		"totals":                        {[]any{c.Overview().Totals.Depth, c.Overview().Totals.Without}, "[5 [b]]"},
		"row of a topic of both":        {[]any{rows[0].Topic, rows[0].Depth, rows[0].Nodes, rows[0].Silent, rows[0].Unknown}, "[t 5 1 1 false]"},
		"row of a topic of the silent":  {[]any{rows[1].Topic, rows[1].Nodes, rows[1].Silent, rows[1].Unknown, rows[1].Idle}, "[u 0 1 true false]"},
		"topic":                         {[]any{both.Figures.ChannelDepth, both.Figures.Without, both.Figures.Unknown}, "[5 [b] false]"},
		"its sentence":                  {both.Sub, "2 channels on 2 nodes" + since},
		"its channels":                  {[]any{both.Channels[0].Channel, both.Channels[0].Silent, both.Channels[0].Unknown}, "[alone 1 true]"},
		"its channel of both":           {[]any{both.Channels[1].Channel, both.Channels[1].Depth, both.Channels[1].Silent, both.Channels[1].Unknown}, "[c 5 1 false]"},
		"its nodes":                     {[]any{both.Nodes[0].Stale, both.Nodes[1].Stale, both.Nodes[1].Depth, both.Nodes[1].PubRate.known()}, "[false true 16 false]"},
		"topic of the silent":           {[]any{alone.Figures.Without, alone.Figures.Unknown}, "[[b] true]"},
		"its sentence too":              {alone.Sub, "1 channel on 1 node" + since},
		"channel":                       {[]any{channel("t", "c").Figures.Depth, channel("t", "c").Figures.Without, channel("t", "c").Figures.Unknown}, "[5 [b] false]"},
		"its words":                     {channel("t", "c").Sub, "1 consumer on 1 node" + since},
		"channel of the silent":         {[]any{channel("t", "alone").Figures.Without, channel("t", "alone").Figures.Unknown}, "[[b] true]"},
		"nodes":                         {[]any{c.NodesView().Total.Depth, c.NodesView().Total.Without, c.NodesView().Nodes[1].Stale}, "[5 [b] true]"},
		"node":                          {c.Build(View{Kind: "node", Node: "b:4151"}, Consumers{}).(*nodeView).Node.Stale, "true"},
		"counter":                       {[]any{c.counterView().Total, c.counterView().Without}, "[10 [b]]"},
		"a topic that nobody is silent": {topicOf(c, "v", now.Add(20*time.Second)), "[false 0]"},
	} {
		same(t, name, test.got, test.want)
	}
}

// topicOf has node a tell of a topic of its own.
func topicOf(c *Cluster, name string, at time.Time) []any {
	stats := statsAt(1, 10, 5)
	stats.Topics = append(stats.Topics, nodeclient.Topic{Name: name})
	c.hear("a", stats, at)
	c.Update(at, time.Second)
	v := c.Build(View{Kind: "topic", Topic: name}, Consumers{}).(*topicView)
	return []any{v.Figures.Unknown, len(v.Figures.Without)}
}

// TestMissingConsumersAreSaidOfNodesThatAnswer: those of a silent node may be there.
func TestMissingConsumersAreSaidOfNodesThatAnswer(t *testing.T) {
	c, now := clusterOf("a", "b")
	for s := range 400 {
		at := now.Add(time.Duration(s) * time.Second)
		stats := statsAt(1, int64(10*s), int64(10*s))
		stats.Topics[0].Channels[0].ClientCount = 0
		c.hear("a", stats, at)
		if s < 10 {
			c.hear("b", statsAt(1, 1, 1), at)
		} else {
			c.nodes["b:4151"].miss(at, "no answer in time")
		}
		c.Update(at, time.Second)
	}
	for _, l := range c.alerts.open {
		if l.Rule == "no_consumers" && strings.HasPrefix(l.Text, "No consumers on the nodes that answer for ") {
			return
		}
	}
	t.Errorf("lines %v", c.alerts.open)
}
