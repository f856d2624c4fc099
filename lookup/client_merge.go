package lookup

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"qmq/internal/address"
	"qmq/internal/apiclient"
)

// ClusterNode is a node as the directories together know it.
type ClusterNode struct {
	Identity // as the first directory has it
	// Impossible says why the node must not be connected to, which is for what
	// it announces; empty: it may be.
	Impossible string
	Seen       []Sighting  // by directory, in the order in which they were given
	Topics     []NodeTopic // sorted
}

// Sighting is that a directory knows a node. One directory sees a node twice
// when two connections announce its address.
type Sighting struct {
	Directory     string // its address, as it was given
	RemoteAddress string // of the node's connection, as the directory sees it
	Hostname      string // as the node says there
	SharesAddress bool   // the directory says that another one lives under an address of it
}

// NodeTopic is a topic that a node has.
type NodeTopic struct {
	Topic      string
	Tombstoned bool // in at least one directory
}

// Lookup returns the channels and producers of a topic, both sorted. A
// directory that does not know the topic answers with nothing. A producer is
// there once, with the remote address that the first directory sees; one with an
// impossible address is left out.
func (c *Client) Lookup(ctx context.Context, addresses []string, topic string) (LookupAnswer, error) {
	answers, err := askAll(addresses, func(address string) (a LookupAnswer, err error) {
		err = c.api.Get(ctx, apiclient.URL(address, "/lookup", url.Values{"topic": {topic}}), &a)
		if apiclient.IsStatus(err, http.StatusNotFound) {
			err = nil
		}
		return a, err
	})
	merged := LookupAnswer{Channels: union(answers, func(a LookupAnswer) []string { return a.Channels })}
	known := make(map[string]bool)
	for _, a := range answers {
		for _, p := range a.Producers {
			if p.impossible() == "" && !known[p.address()] {
				known[p.address()] = true
				merged.Producers = append(merged.Producers, p)
			}
		}
	}
	slices.SortFunc(merged.Producers, func(x, y Producer) int { return x.compare(&y.Identity) })
	return merged, err
}

// address tells nodes apart: several directories see the same one from
// different sides.
func (id *Identity) address() string { return address.Join(id.BroadcastAddress, id.TCPPort) }

// WebAddress is where the node is asked over HTTP: host:port.
func (id *Identity) WebAddress() string { return address.Join(id.BroadcastAddress, id.HTTPPort) }

// isSameNode tells whether others reach both under the same addresses.
func (id *Identity) isSameNode(other *Identity) bool {
	return id.address() == other.address() && id.HTTPPort == other.HTTPPort
}

// Nodes lists the nodes, sorted by broadcast address and TCP port, which make a
// node of what several directories know.
func (c *Client) Nodes(ctx context.Context, addresses []string) ([]ClusterNode, error) {
	type sightings struct {
		directory string
		NodesAnswer
	}
	answers, err := askAll(addresses, func(address string) (a sightings, err error) {
		a.directory = address
		err = c.api.Get(ctx, apiclient.URL(address, "/nodes", nil), &a.NodesAnswer)
		return a, err
	})
	nodes := make(map[string]*ClusterNode)
	for _, a := range answers {
		for _, p := range a.Producers {
			n := nodes[p.address()]
			if n == nil {
				n = &ClusterNode{Identity: p.Identity, Impossible: p.impossible()}
				nodes[p.address()] = n
			}
			n.add(a.directory, &p)
		}
	}
	var list []ClusterNode
	for _, n := range nodes {
		slices.SortFunc(n.Topics, func(x, y NodeTopic) int { return cmp.Compare(x.Topic, y.Topic) })
		list = append(list, *n)
	}
	slices.SortFunc(list, func(x, y ClusterNode) int { return x.compare(&y.Identity) })
	return list, err
}

// add merges what a directory knows of the node.
func (n *ClusterNode) add(directory string, p *Node) {
	n.Seen = append(n.Seen, Sighting{directory, p.RemoteAddress, p.Hostname, p.SharesAddress})
	at := make(map[string]int, len(n.Topics))
	for i, t := range n.Topics {
		at[t.Topic] = i
	}
	for i, topic := range p.Topics {
		known, ok := at[topic]
		if !ok {
			known = len(n.Topics)
			at[topic] = known
			n.Topics = append(n.Topics, NodeTopic{Topic: topic})
		}
		if i < len(p.Tombstones) && p.Tombstones[i] {
			n.Topics[known].Tombstoned = true
		}
	}
}

// CreateTopic makes a topic known, so that consumers find its channels before
// anybody publishes.
func (c *Client) CreateTopic(ctx context.Context, addresses []string, topic string) error {
	return c.post(ctx, addresses, "/topic/create", url.Values{"topic": {topic}})
}

// DeleteTopic makes the directories forget a topic and its channels.
func (c *Client) DeleteTopic(ctx context.Context, addresses []string, topic string) error {
	return c.post(ctx, addresses, "/topic/delete", url.Values{"topic": {topic}})
}

// CreateChannel makes a channel known; topics of that name that are made later
// have it from the start.
func (c *Client) CreateChannel(ctx context.Context, addresses []string, topic, channel string) error {
	return c.post(ctx, addresses, "/channel/create", url.Values{"topic": {topic}, "channel": {channel}})
}

// DeleteChannel makes the directories forget a channel. One that does not know
// it is content.
func (c *Client) DeleteChannel(ctx context.Context, addresses []string, topic, channel string) error {
	return c.post(ctx, addresses, "/channel/delete", url.Values{"topic": {topic}, "channel": {channel}}, http.StatusNotFound)
}

// Tombstone hides a node from those who look for a topic, for as long as the
// directories keep tombstones. The node is its broadcast address and HTTP port.
// Directories compare it as text with what the node has announced, which may be
// an address of IP version 6 with brackets or without: they are told both.
func (c *Client) Tombstone(ctx context.Context, addresses []string, topic, node string) error {
	spelled := []string{withoutBrackets(node)}
	if host, port, err := net.SplitHostPort(node); err == nil && strings.Contains(host, ":") {
		spelled = append(spelled, net.JoinHostPort(host, port))
	}
	for _, s := range spelled {
		if err := c.post(ctx, addresses, "/topic/tombstone", url.Values{"topic": {topic}, "node": {s}}); err != nil {
			return err
		}
	}
	return nil
}

func withoutBrackets(node string) string { return strings.NewReplacer("[", "", "]", "").Replace(node) }
