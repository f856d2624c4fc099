package cluster

import (
	"fmt"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// BenchmarkAddUp50Nodes1000Topics3Channels is the part of a round that is done
// under the lock after all answers are there.
func BenchmarkAddUp50Nodes1000Topics3Channels(b *testing.B) {
	c, now := clusterOf()
	for i := range 50 {
		n := newNode(fmt.Sprint(i), fmt.Sprint(i))
		c.nodes[n.address] = n
	}
	c.sortNodes()
	stats := &nodeclient.Stats{Version: "1.3.0", StartTime: 1}
	for i := range 1000 {
		topic := nodeclient.Topic{Name: fmt.Sprintf("topic%d", i)}
		for j := range 3 {
			topic.Channels = append(topic.Channels, nodeclient.Channel{Name: fmt.Sprintf("channel%d", j), Depth: int64(i)})
		}
		stats.Topics = append(stats.Topics, topic)
	}
	for _, n := range c.order {
		n.take(&c.budget, stats, now, c.wasEmptied)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		for _, n := range c.order {
			n.at = now
		}
		c.Update(now, time.Second)
	}
}
