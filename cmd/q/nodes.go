package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"qmq/internal/address"
	"qmq/internal/nodeclient"
)

// nodesList is q nodes list.
type nodesList struct {
	listing
}

// nodeRow is a node as it is listed.
type nodeRow struct {
	Node    string   `json:"node"` // of its HTTP API
	TCP     string   `json:"tcp"`
	Version string   `json:"version"`
	Health  string   `json:"health"`
	Topics  int64    `json:"topics"`
	Depth   int64    `json:"depth"`
	Clients int64    `json:"clients"`
	Started int64    `json:"start_time"`
	Tombs   []string `json:"tombstoned_topics,omitempty"`
	// Draining says that it refuses publishes, and leaves when consumers have emptied it.
	Draining bool `json:"draining,omitempty"`
}

// Run lists nodes. One that does not answer is listed with the reason, and makes
// the command fail.
func (l *nodesList) Run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := l.open()
	if err != nil {
		return err
	}
	defer cl.close()
	s, err := cl.snapshot(ctx, nodeclient.Wanted{})
	if err != nil {
		return err
	}
	tombs, err := cl.tombstones(ctx)
	if err != nil {
		return err
	}
	cl.findTCP(ctx, s)
	rows := make([][]any, 0, len(s.nodes))
	for _, n := range s.nodes {
		r := rowOf(&n)
		r.Tombs = tombs[n.Name]
		if l.JSON {
			if err := printJSON(c.out, r); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []any{r.Node, r.TCP, r.Version, r.state(), r.Topics, r.Depth, r.Clients, since(r.Started), strings.Join(r.Tombs, ",")})
	}
	if !l.JSON {
		printTable(c.out, []string{"NODE", "TCP", "VERSION", "HEALTH", "TOPICS", "DEPTH", "CLIENTS", "UP", "TOMBSTONED"}, rows)
	}
	return s.failed()
}

// findTCP has nodes whose HTTP address alone is known say what their TCP port is. Of one that
// does not answer it stays empty.
func (c *cluster) findTCP(ctx context.Context, s *snapshot) {
	var asking sync.WaitGroup
	for i := range s.nodes {
		n := &s.nodes[i]
		host, _, err := net.SplitHostPort(n.HTTP)
		if n.TCP != "" || n.err != nil || err != nil {
			continue
		}
		asking.Go(func() {
			if info, err := c.nodes.Info(ctx, n.HTTP); err == nil {
				n.TCP = address.Join(host, info.TCPPort)
			}
		})
	}
	asking.Wait()
}

// state is how the node is, and whether it is about to leave.
func (r *nodeRow) state() string {
	if r.Draining {
		return r.Health + ", draining"
	}
	return r.Health
}

func rowOf(n *nodeSnapshot) nodeRow {
	r := nodeRow{Node: n.Name, TCP: n.TCP}
	if n.err != nil {
		r.Health, r.Started = n.err.Error(), time.Now().Unix()
		return r
	}
	r.Version, r.Health, r.Started, r.Topics = n.stats.Version, n.stats.Health, n.stats.StartTime, int64(len(n.stats.Topics))
	r.Draining = n.stats.Draining
	for _, t := range n.stats.Topics {
		r.Depth += t.Depth
		for _, ch := range t.Channels {
			r.Depth += ch.Depth
			r.Clients += ch.ClientCount
		}
	}
	return r
}

// tombstones are the topics that nodes are hidden for, by node.
func (c *cluster) tombstones(ctx context.Context) (map[string][]string, error) {
	hidden := make(map[string][]string)
	if len(c.lookupds) == 0 {
		return hidden, nil
	}
	nodes, err := c.lookup.Nodes(ctx, c.lookupds)
	if err != nil && len(nodes) == 0 {
		return nil, err
	}
	for _, n := range nodes {
		at := nodeOf(n.Identity).Name
		for _, t := range n.Topics {
			if t.Tombstoned {
				hidden[at] = append(hidden[at], t.Topic)
			}
		}
	}
	return hidden, nil
}

// tombstoneCommand is q tombstone.
type tombstoneCommand struct {
	Topic string `arg:"" complete:"topic" help:"Topic that the node is no longer to be found for."`
	Node  string `arg:"" complete:"node" help:"The node, as q nodes names it: its broadcast address and HTTP port."`
	Keep  bool   `help:"Only hide the node from consumers that look for the topic, for as long as the directories keep a tombstone (45 s unless told otherwise), and leave the topic on it."`
	loss
}

// Help has the examples.
func (*tombstoneCommand) Help() string {
	return examples(
		"take a topic off one node: producers were told to use another one, consumers forget it, then it is deleted there", `q tombstone orders qd2.example:4151 --lookupd=lookup1.example:4161`,
	)
}

// Run hides a node and deletes the topic on it.
func (t *tombstoneCommand) Run(c console) error {
	o := topicChange("delete", t.Topic)
	if len(t.Lookupd) == 0 {
		return fmt.Errorf("tombstones are kept by directories: --lookupd says where they are")
	}
	if err := o.check(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := t.open()
	if err != nil {
		return err
	}
	defer cl.close()
	at, err := cl.producer(ctx, t.Topic, t.Node)
	if err != nil {
		return err
	}
	if !t.Keep {
		goes, err := cl.goes(ctx, []node{at}, o)
		if err != nil {
			return err
		}
		if err := c.confirm(ctx, t.Yes, goes+" ("+t.Node+")"); err != nil {
			return err
		}
	}
	if err := cl.lookup.Tombstone(ctx, cl.lookupds, t.Topic, t.Node); err != nil {
		return err
	}
	told := changed{Topic: t.Topic, Done: "hidden", Nodes: []string{t.Node}, Directories: true}
	if t.Keep {
		return t.tell(c, told, fmt.Sprintf("%s: hidden for topic %s", t.Node, t.Topic))
	}
	if _, err := cl.onNodes(ctx, []node{at}, o); err != nil {
		return fmt.Errorf("it is hidden, but the topic is still there: %w", err)
	}
	told.Done = "deleted"
	return t.tell(c, told, fmt.Sprintf("%s: hidden for topic %s, which is deleted there", t.Node, t.Topic))
}

// producer finds a node among those that have a topic.
func (c *cluster) producer(ctx context.Context, topic, name string) (node, error) {
	nodes, err := c.listed(ctx, topic)
	if err != nil {
		return node{}, err
	}
	var known []string
	for _, n := range nodes {
		if n.Name == name {
			return n, nil
		}
		known = append(known, n.Name)
	}
	return node{}, fmt.Errorf("no node %s has topic %s; these have it: %s", name, topic, strings.Join(known, ", "))
}
