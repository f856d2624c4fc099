package admin

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/internal/nodeclient"
)

// The consumers of a channel are asked for only while somebody looks at it.
const (
	crowdAge     = 900 * time.Millisecond // younger answers are good enough
	crowdForget  = 30 * time.Second
	mostConsumer = 1000 // that are shown
)

// crowd are the consumers of the channels that are looked at. The collector's
// lock guards it.
type crowd struct {
	c        *collector
	channels map[pair]*gathering
}

// gathering are the consumers of one channel on all nodes.
type gathering struct {
	consumers []consumerRow
	ready     int64
	at        time.Time     // of the answer; zero: none yet
	wanted    time.Time     // when somebody last looked
	done      chan struct{} // closed when the question under way is answered; nil: none is
}

// consumerRow is a consumer as the page gets it.
type consumerRow struct {
	ID          string `json:"id"`
	Hostname    string `json:"hostname"`
	Address     string `json:"address"`
	Agent       string `json:"agent"`
	Node        string `json:"node"`
	Name        string `json:"name"`
	Zone        string `json:"zone"`
	Region      string `json:"region"`
	Ready       int64  `json:"ready"`
	InFlight    int64  `json:"in_flight"`
	Finished    int64  `json:"finished"`
	Requeued    int64  `json:"requeued"`
	Messages    int64  `json:"messages"`
	TLS         string `json:"tls"`
	Compression string `json:"compression"`
	SampleRate  int64  `json:"sample_rate"`
	Identity    string `json:"identity"`
	Connected   int64  `json:"connected"`
	Hot         bool   `json:"hot"`
}

func newCrowd(c *collector) *crowd { return &crowd{c: c, channels: make(map[pair]*gathering)} }

// look makes sure that the consumers of a channel are known soon, and returns
// what is closed when they are.
func (w *crowd) look(p pair, now time.Time) (known <-chan struct{}) {
	g := w.channels[p]
	if g == nil {
		if len(w.c.cluster.having(p)) == 0 {
			return closed // names that nobody knows are not remembered
		}
		g = new(gathering)
		w.channels[p] = g
	}
	g.wanted = now
	if g.done == nil && now.Sub(g.at) >= crowdAge && !w.c.stopped {
		g.done = make(chan struct{})
		// One that does not answer would keep the others' consumers waiting.
		targets := slices.DeleteFunc(w.c.cluster.having(p), func(to target) bool {
			n := w.c.cluster.node(to.id)
			return n != nil && n.missed > 0
		})
		w.c.questions.Go(func() { w.gather(p, g, targets) })
	}
	if g.done == nil {
		return closed
	}
	return g.done
}

// closed is for what need not be waited for.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// target is a node to ask.
type target struct {
	id, address, name, kind, version string
}

func (n *node) target() target {
	return target{n.id, n.address, n.name, n.kind(), n.version}
}

// having lists the nodes that have a channel, or a topic if there is no
// channel.
func (c *cluster) having(p pair) (targets []target) {
	for _, n := range c.order {
		t := n.topics[p.topic]
		if t == nil {
			continue
		}
		if _, ok := t.channels[p.channel]; ok || p.channel == "" {
			targets = append(targets, n.target())
		}
	}
	return targets
}

// gather asks the nodes at once, outside the lock.
func (w *crowd) gather(p pair, g *gathering, targets []target) {
	rows := make([][]consumerRow, len(targets))
	var asking sync.WaitGroup
	for i, to := range targets {
		asking.Go(func() { rows[i] = w.c.consumersOf(w.c.ctx, p, to) })
	}
	asking.Wait()
	all := slices.Concat(rows...)
	slices.SortStableFunc(all, func(a, b consumerRow) int {
		if a.InFlight != b.InFlight {
			return int(b.InFlight - a.InFlight)
		}
		return strings.Compare(a.Node+a.Address, b.Node+b.Address)
	})
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	g.consumers, g.at, g.ready = all, time.Now(), 0
	for i := range all {
		g.ready += all[i].Ready
	}
	close(g.done)
	g.done = nil
}

// consumersOf asks one node; one that does not answer has none to show.
func (c *collector) consumersOf(ctx context.Context, p pair, to target) (rows []consumerRow) {
	stats, err := c.up.nodes.Stats(ctx, to.address, nodeclient.Wanted{Topic: p.topic, Channel: p.channel, Clients: true}, new(nodeclient.Decoder))
	if err != nil {
		return nil
	}
	for _, t := range stats.Topics {
		for _, ch := range t.Channels {
			if t.Name != p.topic || ch.Name != p.channel {
				continue
			}
			for i := range ch.Clients {
				rows = append(rows, newConsumerRow(&ch.Clients[i], to))
			}
		}
	}
	return rows
}

func newConsumerRow(k *nodeclient.Consumer, at target) consumerRow {
	row := consumerRow{
		ID: k.ID, Hostname: k.Hostname, Address: k.RemoteAddress, Agent: k.UserAgent, Node: at.id, Name: at.name,
		Zone: k.Zone, Region: k.Region, Ready: k.ReadyCount, InFlight: k.InFlight, Finished: k.Finished,
		Requeued: k.Requeued, Messages: k.Messages, SampleRate: k.SampleRate, Identity: k.AuthIdentity, Connected: k.ConnectTime * 1000,
	}
	if k.TLS {
		row.TLS = strings.Replace(k.TLSVersion, "TLS", "TLS ", 1)
	}
	switch {
	case k.Snappy:
		row.Compression = "snappy"
	case k.Deflate:
		row.Compression = "deflate"
	}
	return row
}

// forget drops channels that nobody looks at any more.
func (w *crowd) forget(now time.Time) {
	for p, g := range w.channels {
		if g.done == nil && now.Sub(g.wanted) > crowdForget {
			delete(w.channels, p)
		}
	}
}
