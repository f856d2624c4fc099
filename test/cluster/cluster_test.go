package cluster

import (
	"testing"
)

const topic = "orders"

// TestNothingIsLostWhileEachProcessDiesInTurn: three nodes and two directories
// under load; every process is killed and comes back. One stock consumer,
// which finds the nodes through the directories, gets every message that was
// OK'd.
func TestNothingIsLostWhileEachProcessDiesInTurn(t *testing.T) {
	c := startCluster(t, 3)
	traffic := startTraffic(t, c)
	for _, l := range c.lookups {
		c.awaitProducers(l, topic, 3)
	}
	for _, node := range c.nodes {
		traffic.awaitMore(node)
	}
	for _, l := range c.lookups {
		l.Kill()
		l.Start(t)
		c.awaitProducers(l, topic, 3)
	}
	for _, node := range c.nodes {
		node.Kill()
		for _, l := range c.lookups {
			c.awaitProducers(l, topic, 2)
		}
		node.Start(t)
		traffic.awaitMore(node)
	}
	traffic.finish()
}

func TestConsumerFindsNodeThatStartsLater(t *testing.T) {
	c := startCluster(t, 1)
	traffic := startTraffic(t, c)
	traffic.awaitMore(c.nodes[0])
	late := c.addNode()
	traffic.publishTo(late)
	traffic.awaitMore(late)
	traffic.finish()
}

// TestNodesSurviveTheLossOfAllDirectories: publishing and consuming go on, and
// a directory that comes back knows everything again.
func TestNodesSurviveTheLossOfAllDirectories(t *testing.T) {
	c := startCluster(t, 2)
	traffic := startTraffic(t, c)
	for _, node := range c.nodes {
		traffic.awaitMore(node)
	}
	for _, l := range c.lookups {
		l.Kill()
	}
	for _, node := range c.nodes {
		traffic.awaitMore(node)
	}
	for _, l := range c.lookups {
		l.Start(t)
		c.awaitProducers(l, topic, 2)
	}
	for _, node := range c.nodes {
		node.Stop(t)
	}
	for _, l := range c.lookups {
		c.awaitProducers(l, topic, 0)
	}
	for _, node := range c.nodes {
		node.Start(t)
		traffic.awaitMore(node)
	}
	traffic.finish()
}
