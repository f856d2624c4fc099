package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/nodeclient"
)

// The consumers of a channel are asked for only while somebody looks at it.
const (
	consumersAge    = 900 * time.Millisecond // younger answers are good enough
	consumersForget = 30 * time.Second
)

// consumerCache are the consumers of the channels that are looked at. The collector's
// lock guards it.
type consumerCache struct {
	c        *collector
	channels map[cluster.Pair]*channelConsumers
}

// channelConsumers are the consumers of one channel on all nodes.
type channelConsumers struct {
	cluster.Consumers
	wanted time.Time     // when somebody last looked
	done   chan struct{} // closed when the question under way is answered; nil: none is
}

func newConsumerCache(c *collector) *consumerCache {
	return &consumerCache{c: c, channels: make(map[cluster.Pair]*channelConsumers)}
}

// look makes sure that the consumers of a channel are known soon, and returns
// what is closed when they are.
func (w *consumerCache) look(p cluster.Pair, now time.Time) (known <-chan struct{}) {
	g := w.channels[p]
	if g == nil {
		if len(w.c.cluster.Having(p)) == 0 {
			return closed // names that nobody knows are not remembered
		}
		g = new(channelConsumers)
		w.channels[p] = g
	}
	g.wanted = now
	if g.done == nil && now.Sub(g.At) >= consumersAge && !w.c.stopped {
		g.done = make(chan struct{})
		targets := w.targets(p)
		w.c.questions.Go(func() { w.ask(p, g, targets) })
	}
	if g.done == nil {
		return closed
	}
	return g.done
}

// targets are the nodes to ask: one that does not answer would keep the others'
// consumers waiting.
func (w *consumerCache) targets(p cluster.Pair) []cluster.Target {
	return slices.DeleteFunc(w.c.cluster.Having(p), func(to cluster.Target) bool { return to.Missed })
}

// closed is for what need not be waited for.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// ask asks the nodes at once, outside the lock.
func (w *consumerCache) ask(p cluster.Pair, g *channelConsumers, targets []cluster.Target) {
	rows := make([][]cluster.ConsumerRow, len(targets))
	var asking sync.WaitGroup
	for i, to := range targets {
		asking.Go(func() { rows[i] = w.c.consumersOf(w.c.ctx, p, to) })
	}
	asking.Wait()
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	g.Consumers = cluster.NewConsumers(slices.Concat(rows...), time.Now())
	close(g.done)
	g.done = nil
}

// consumersOf asks one node; one that does not answer has none to show.
func (c *collector) consumersOf(ctx context.Context, p cluster.Pair, to cluster.Target) (rows []cluster.ConsumerRow) {
	stats, err := c.up.nodes.Stats(ctx, to.Address, nodeclient.Wanted{Topic: p.Topic, Channel: p.Channel, Clients: true}, new(nodeclient.Decoder))
	if err != nil {
		return nil
	}
	for _, t := range stats.Topics {
		for _, ch := range t.Channels {
			if t.Name != p.Topic || ch.Name != p.Channel {
				continue
			}
			for i := range ch.Clients {
				rows = append(rows, cluster.NewConsumerRow(&ch.Clients[i], to))
			}
		}
	}
	return rows
}

// of are the consumers of a channel, as far as they are known.
func (w *consumerCache) of(p cluster.Pair) cluster.Consumers {
	if k := w.channels[p]; k != nil {
		return k.Consumers
	}
	return cluster.Consumers{}
}

// forget drops channels that nobody looks at any more.
func (w *consumerCache) forget(now time.Time) {
	for p, g := range w.channels {
		if g.done == nil && now.Sub(g.wanted) > consumersForget {
			delete(w.channels, p)
		}
	}
}
