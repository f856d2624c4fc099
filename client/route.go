package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/address"
	"qmq/internal/tcpclient"
	"qmq/lookup"
)

const (
	// maxFollowed is for how many topics directories are followed. For others they are
	// asked again once an answer is older than routeAge.
	maxFollowed = 256
	routeAge    = 5 * time.Second
	// downFor is how long a node that failed is tried last.
	downFor = time.Second
)

// node is a node that is published to.
type node struct {
	producer *tcpclient.Producer
	down     atomic.Int64 // until when it is tried last, ns since 1970
}

func (n *node) isDown() bool { return time.Now().UnixNano() < n.down.Load() }

func (n *node) failed() { n.down.Store(time.Now().Add(downFor).UnixNano()) }

// route is which nodes take publishes for a topic.
type route struct {
	topic string
	next  atomic.Uint64 // whose turn it is among those that are as good as one another

	asking   sync.Mutex // serialises questions to directories; taken before mu
	mu       sync.Mutex // guards what follows
	writers  []lookup.Writer
	refusing []lookup.RefusingNode
	asked    time.Time // when; zero: the list is out of date
	followed bool
}

// routeTo is the route of a topic, which directories are followed for.
func (c *Client) routeTo(topic string) *route {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.routes[topic]
	if r != nil {
		return r
	}
	r = &route{topic: topic}
	if len(c.routes) >= maxFollowed {
		return r // it is asked for each time
	}
	c.routes[topic] = r
	if len(c.o.Directories) > 0 && !c.closed {
		r.followed = true
		c.running.Go(func() { c.lookup.Follow(c.ctx, c.o.Directories, topic, true, r.forget) })
	}
	return r
}

// forget has directories asked before the next publish.
func (r *route) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Time{}
}

// known is the list if it is not out of date.
func (r *route) known() ([]lookup.Writer, []lookup.RefusingNode, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writers, r.refusing, time.Since(r.asked) < routeAge
}

// order is in which order nodes are tried for a topic: the healthiest first, those of
// one tier in turn, and behind them all those that failed just now.
func (c *Client) order(ctx context.Context, r *route) (addresses []string, refusing []lookup.RefusingNode, err error) {
	turn := int(r.next.Add(1) - 1)
	var tiers [][]string
	if len(c.o.Nodes) > 0 {
		tiers = [][]string{c.o.Nodes}
	} else {
		writers, not, err := c.writers(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		refusing = not
		for i, w := range writers {
			if i == 0 || w.Tier != writers[i-1].Tier {
				tiers = append(tiers, nil)
			}
			last := len(tiers) - 1
			tiers[last] = append(tiers[last], address.Join(w.BroadcastAddress, w.TCPPort))
		}
	}
	var down []string
	for _, tier := range tiers {
		for i := range tier {
			at := tier[(turn+i)%len(tier)]
			if n := c.node(at); n != nil && n.isDown() {
				down = append(down, at)
			} else {
				addresses = append(addresses, at)
			}
		}
	}
	return append(addresses, down...), refusing, nil
}

// writers asks the directories, or knows. When none answers, what was known counts.
func (c *Client) writers(ctx context.Context, r *route) ([]lookup.Writer, []lookup.RefusingNode, error) {
	if writers, refusing, ok := r.known(); ok {
		return writers, refusing, nil
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	writers, refusing, ok := r.known() // somebody has asked meanwhile
	if ok {
		return writers, refusing, nil
	}
	began := time.Now()
	answer, err := c.lookup.Writers(ctx, c.o.Directories, r.topic)
	var partial *lookup.PartialError
	if errors.As(err, &partial) && !partial.All() {
		err = nil // the others know enough
	}
	if err != nil && len(writers) == 0 {
		return nil, nil, fmt.Errorf("no directory answers: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.writers, r.refusing = answer.Producers, answer.Refusing
	}
	r.asked = began
	return r.writers, r.refusing, nil
}

// node is the one with a TCP address; nil once the client is closed.
func (c *Client) node(at string) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	n := c.at[at]
	if n == nil {
		n = &node{producer: tcpclient.NewProducer(at, c.tcp())}
		c.at[at] = n
	}
	return n
}

// allNodes are the TCP addresses of all nodes that are known, but for those that take
// no publishes.
func (c *Client) allNodes(ctx context.Context, topic string) ([]string, error) {
	if len(c.o.Nodes) > 0 {
		return slices.Clone(c.o.Nodes), nil
	}
	answer, err := c.lookup.Writers(ctx, c.o.Directories, topic)
	var partial *lookup.PartialError
	if errors.As(err, &partial) && !partial.All() {
		err = nil
	}
	var list []string
	for _, w := range answer.Producers {
		list = append(list, address.Join(w.BroadcastAddress, w.TCPPort))
	}
	return list, err
}

// topicNodes are the TCP addresses of the nodes that have a topic.
func (c *Client) topicNodes(ctx context.Context, topic string) ([]string, error) {
	if len(c.o.Nodes) > 0 {
		return slices.Clone(c.o.Nodes), nil
	}
	answer, err := c.lookup.Lookup(ctx, c.o.Directories, topic)
	var partial *lookup.PartialError
	if errors.As(err, &partial) && !partial.All() {
		err = nil
	}
	var list []string
	for _, p := range answer.Producers {
		list = append(list, address.Join(p.BroadcastAddress, p.TCPPort))
	}
	return list, err
}
