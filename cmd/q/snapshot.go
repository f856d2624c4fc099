package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"qmq/internal/nodeclient"
)

// snapshot is what the nodes say at a moment.
type snapshot struct {
	at    time.Time
	nodes []nodeSnapshot
}

// nodeSnapshot is what one of them says, or why it says nothing.
type nodeSnapshot struct {
	node
	stats *nodeclient.Stats
	err   error
}

// snapshot asks all nodes that have a topic, or all if it is empty.
func (c *cluster) snapshot(ctx context.Context, w nodeclient.Wanted) (*snapshot, error) {
	nodes, err := c.httpNodes(ctx, w.Topic)
	if err != nil {
		return nil, err
	}
	s := &snapshot{at: time.Now(), nodes: make([]nodeSnapshot, len(nodes))}
	var asking sync.WaitGroup
	for i, n := range nodes {
		asking.Go(func() {
			stats, err := c.nodes.Stats(ctx, n.HTTP, w, new(nodeclient.Decoder))
			s.nodes[i] = nodeSnapshot{n, stats, err}
		})
	}
	asking.Wait()
	return s, ctx.Err()
}

// failed are the nodes that gave no answer.
func (s *snapshot) failed() error {
	var errs []error
	for _, n := range s.nodes {
		if n.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, n.err))
		}
	}
	return errors.Join(errs...)
}

// answered tells whether any node did.
func (s *snapshot) answered() bool {
	return slices.ContainsFunc(s.nodes, func(n nodeSnapshot) bool { return n.stats != nil })
}

// missing says that a topic, or a channel of it, which were asked for by name, are on no node
// that answered. Both may be empty.
func (s *snapshot) missing(topic, channel string) error {
	there := topic == ""
	for _, n := range s.nodes {
		if n.stats == nil {
			continue
		}
		for _, t := range n.stats.Topics {
			there = there || channel == "" || slices.ContainsFunc(t.Channels, func(c nodeclient.Channel) bool { return c.Name == channel })
		}
	}
	switch {
	case there:
		return nil
	case channel != "":
		return fmt.Errorf("there is no channel %s of a topic %s", channel, topic)
	}
	return fmt.Errorf("there is no topic %s", topic)
}

// figure is a line of q stat: what one thing is and does, on one node or on all.
type figure struct {
	Topic    string `json:"topic,omitempty"`
	Channel  string `json:"channel,omitempty"`
	Node     string `json:"node,omitempty"`
	Client   string `json:"client,omitempty"`
	Agent    string `json:"user_agent,omitempty"`
	Paused   bool   `json:"paused"`
	Bounded  bool   `json:"bounded,omitempty"` // of a channel: it ends somewhere
	Done     bool   `json:"done,omitempty"`    // and has had everything before, everywhere
	Nodes    int64  `json:"nodes"`
	Depth    int64  `json:"depth"`
	Disk     int64  `json:"backend_depth"`
	InFlight int64  `json:"in_flight_count"`
	Deferred int64  `json:"deferred_count"`
	Messages int64  `json:"message_count"`
	Requeued int64  `json:"requeue_count"`
	TimedOut int64  `json:"timeout_count"`
	// Dead messages went to the dead-letter topic, dying ones wait for that.
	Dead      int64 `json:"dead_lettered_count,omitempty"`
	Dying     int64 `json:"dead_lettering_count,omitempty"`
	Channels  int64 `json:"channel_count"`
	Clients   int64 `json:"client_count"`
	Finished  int64 `json:"finish_count"`
	Ready     int64 `json:"ready_count"`
	In        rate  `json:"in_per_second"`  // messages that come
	Out       rate  `json:"out_per_second"` // that are done with
	connected int64
}

// key names what a figure is about.
func (f *figure) key() string {
	return f.Topic + "\x00" + f.Channel + "\x00" + f.Node + "\x00" + f.Client
}

// done counts the messages that are no longer of any concern.
func (f *figure) done() int64 { return f.Messages - f.Depth - f.InFlight - f.Deferred - f.Dying }

func (f *figure) add(g *figure) {
	f.Paused = f.Paused || g.Paused
	f.Done = f.Done && g.Done
	f.Bounded = f.Bounded || g.Bounded
	f.Nodes += g.Nodes
	f.Depth += g.Depth
	f.Disk += g.Disk
	f.InFlight += g.InFlight
	f.Deferred += g.Deferred
	f.Messages += g.Messages
	f.Requeued += g.Requeued
	f.TimedOut += g.TimedOut
	f.Dead += g.Dead
	f.Dying += g.Dying
	f.Channels = max(f.Channels, g.Channels)
	f.Clients += g.Clients
}

// figures lists what there is, by topic, channel, node or client, sorted.
func (s *snapshot) figures(by string) []*figure {
	found := make(map[string]*figure)
	add := func(f *figure) {
		f.In, f.Out = -1, -1
		if have := found[f.key()]; have != nil {
			have.add(f)
			return
		}
		found[f.key()] = f
	}
	for _, n := range s.nodes {
		if n.stats == nil {
			continue
		}
		for i := range n.stats.Topics {
			t := &n.stats.Topics[i]
			switch by {
			case "topic":
				add(topicFigure(t))
			case "node":
				f := topicFigure(t)
				f.Node = n.Name
				add(f)
			}
			for j := range t.Channels {
				c := &t.Channels[j]
				switch by {
				case "channel":
					add(channelFigure(t, c))
				case "client":
					for k := range c.Clients {
						add(clientFigure(n.Name, t, c, &c.Clients[k]))
					}
				case "node":
					f := channelFigure(t, c)
					f.Node = n.Name
					add(f)
				}
			}
		}
	}
	list := make([]*figure, 0, len(found))
	for _, f := range found {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *figure) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Client, b.Client))
	})
	return list
}

func topicFigure(t *nodeclient.Topic) *figure {
	f := &figure{Topic: t.Name, Nodes: 1, Paused: t.Paused, Depth: t.Depth, Disk: t.BackendDepth, Messages: t.Messages, Channels: int64(len(t.Channels))}
	for i := range t.Channels {
		f.Clients += t.Channels[i].ClientCount
	}
	return f
}

func channelFigure(t *nodeclient.Topic, c *nodeclient.Channel) *figure {
	return &figure{
		Topic: t.Name, Channel: c.Name, Nodes: 1, Paused: c.Paused, Bounded: c.Until > 0, Done: c.Done, Depth: c.Depth, Disk: c.BackendDepth, InFlight: c.InFlight,
		Deferred: c.Deferred, Messages: c.Messages, Requeued: c.Requeued, TimedOut: c.TimedOut, Clients: c.ClientCount, Dead: c.DeadLettered, Dying: c.DeadLettering,
	}
}

func clientFigure(node string, t *nodeclient.Topic, c *nodeclient.Channel, k *nodeclient.Consumer) *figure {
	return &figure{
		Topic: t.Name, Channel: c.Name, Node: node, Client: k.RemoteAddress, Agent: k.UserAgent, Nodes: 1, InFlight: k.InFlight,
		Messages: k.Messages, Requeued: k.Requeued, Finished: k.Finished, Ready: k.ReadyCount, Clients: 1, connected: k.ConnectTime,
	}
}

// fillRates fills in rates, as the difference to what was before.
func fillRates(before, now []*figure, took time.Duration) {
	was := make(map[string]*figure, len(before))
	for _, f := range before {
		was[f.key()] = f
	}
	for _, f := range now {
		b := was[f.key()]
		if b == nil || took <= 0 || f.Messages < b.Messages { // new, or its node has started again
			continue
		}
		f.In = rate(float64(f.Messages-b.Messages) / took.Seconds())
		if f.Client != "" {
			f.Out = rate(float64(f.Finished-b.Finished) / took.Seconds())
		} else {
			f.Out = rate(max(0, float64(f.done()-b.done())) / took.Seconds())
		}
	}
}
