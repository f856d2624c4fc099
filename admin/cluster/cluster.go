package cluster

import (
	"cmp"
	"math"
	"net"
	"slices"
	"time"

	"qmq/admin/words"
	"qmq/internal/version"
)

// When figures of a node are no longer counted: soon after it has failed to
// answer, or when it has not been asked for long.
const (
	staleAfter = 5 * time.Second
	oldAfter   = 3 * IdleInterval
)

// forgetAfter is how long a silent node stays that no directory knows any
// more.
const forgetAfter = 10 * time.Minute

// Cluster is what is known of all nodes, and an hour of it. Time is passed in.
// It is not for concurrent use.
type Cluster struct {
	given    bool             // nodes were given instead of directories
	nodes    map[string]*node // by address
	order    []*node          // by name
	lookupds []*lookupd
	twins    map[string]*twins // by address
	topics   map[string]*topicTotal
	sums     sums
	rated    bool // rates are known
	history  history
	counter  history
	marks    []Mark
	sets     map[string]*replicaSet // by their ids
	budget   allowance
	alerts   alerts
	round    uint32
	now      time.Time
	began    time.Time // of the first update
	emptied  map[Pair]time.Time
	pausedBy func(Pair) string // who paused it, if that is known
}

// Pair names a channel, or a topic if channel is empty.
type Pair struct{ Topic, Channel string }

// String is how people read it.
func (p Pair) String() string {
	if p.Channel == "" {
		return p.Topic
	}
	return p.Topic + " / " + p.Channel
}

// New knows nodes that were given by their addresses, or none if there
// will be directories. Histories take historyBytes of memory at most.
func New(historyBytes int, nodes []string) *Cluster {
	c := &Cluster{
		given: len(nodes) > 0,
		nodes: make(map[string]*node), topics: make(map[string]*topicTotal), emptied: make(map[Pair]time.Time),
		history: newHistory(clusterRows), counter: newHistory(counterRows), budget: allowance{historyBytes},
		alerts: newAlerts(), sets: make(map[string]*replicaSet), pausedBy: func(Pair) string { return "" },
	}
	for _, address := range nodes {
		c.nodes[address] = newNode(address, address)
	}
	c.sortNodes()
	return c
}

// SetPausedBy tells how to find out who paused a topic or channel: "" if that is
// not known.
func (c *Cluster) SetPausedBy(who func(Pair) string) { c.pausedBy = who }

// wasEmptied tells whether somebody emptied a channel, through us, since the
// last answers.
func (c *Cluster) wasEmptied(topic, channel string) bool {
	if len(c.emptied) == 0 {
		return false
	}
	_, ok := c.emptied[Pair{topic, channel}] // emptying a topic leaves its channels alone
	return ok
}

// UpdatedAt is the time of the last update.
func (c *Cluster) UpdatedAt() time.Time { return c.now }

// Update adds up what the nodes said and moves history and attention to now.
// Interval is the time between two questions to a node.
func (c *Cluster) Update(now time.Time, interval time.Duration) {
	c.now = now
	if c.began.IsZero() {
		c.began = now
	}
	c.round++
	c.sums, c.rated = sums{}, false
	for _, t := range c.topics {
		t.reset()
	}
	c.depose()
	for _, n := range c.order {
		c.addNode(n)
	}
	c.forgetTopics()
	for _, t := range c.topics {
		t.restartTrends()
	}
	c.record()
	c.updateSets()
	for p, at := range c.emptied {
		if now.Sub(at) > 2*interval+time.Second {
			delete(c.emptied, p)
		}
	}
	c.marks = slices.DeleteFunc(c.marks, func(m Mark) bool { return now.Sub(m.At) > markAge })
	c.alerts.step(now, c.alertInputs())
}

// addNode adds a node to the sums. One that is silent only keeps its topics
// from being forgotten.
func (c *Cluster) addNode(n *node) {
	fresh := n.fresh(c.now)
	c.markSilence(n, fresh)
	if fresh {
		c.sums.add(&n.sums)
		c.rated = c.rated || n.rated
	}
	n.record(&c.budget, c.now.Unix(), fresh)
	for _, nt := range n.order {
		t := nt.total
		if t == nil {
			t = c.topic(nt.name)
			nt.total = t
		}
		t.round = c.round
		if fresh {
			t.sums.add(&nt.sums)
			t.own.add(&nt.own)
			t.nodes++
			t.addReplica(n, nt)
			if nt.disk >= 0 {
				t.disk = max(t.disk, 0) + nt.disk
			}
			if nt.paused {
				t.paused++
			}
		} else {
			t.silent++
		}
		for _, nc := range nt.order {
			ch := nc.total
			if ch == nil {
				ch = t.channel(nc.name)
				nc.total = ch
			}
			ch.round = c.round
			if fresh {
				ch.sums.add(&nc.sums)
				ch.nodes++
				ch.latency.add(nc.latency)
			} else {
				ch.silent++
			}
		}
	}
}

// markSilence shows in charts where a node left the sums, and where it came
// back.
func (c *Cluster) markSilence(n *node, fresh bool) {
	if fresh == n.counted {
		return
	}
	n.counted = fresh
	m := Mark{At: c.now, Node: n.id, Text: words.ShortName(n.name) + " is back", Kind: "back"}
	if !fresh {
		m.At, m.Text, m.Kind = n.at, "without "+words.ShortName(n.name), "silent"
	} else if n.asks < 2 || c.restarted(n) {
		return // it is new, or there is a mark
	}
	c.Mark(m)
}

// restarted tells whether the charts show already that a node has just begun anew.
func (c *Cluster) restarted(n *node) bool {
	return slices.ContainsFunc(c.marks, func(m Mark) bool {
		return m.Kind == "restart" && m.Node == n.id && c.now.Sub(m.At) < youngFor
	})
}

func (c *Cluster) topic(name string) *topicTotal {
	t := c.topics[name]
	if t == nil {
		t = newTopicTotal(name)
		c.topics[name] = t
	}
	return t
}

// topicCalled finds a topic: as the nodes have it; with nothing in it but names
// if only directories know it; or nil.
func (c *Cluster) topicCalled(name string) *topicTotal {
	if t := c.topics[name]; t != nil {
		return t
	}
	var t *topicTotal
	for _, l := range c.lookupds {
		if !slices.Contains(l.topics, name) {
			continue
		}
		if t == nil {
			t = newTopicTotal(name)
		}
		for _, channel := range l.channels[name].names {
			t.channel(channel)
		}
	}
	return t
}

// forgetTopics drops topics and channels that no node has any more.
func (c *Cluster) forgetTopics() {
	for name, t := range c.topics {
		for channel, ch := range t.channels {
			if ch.round != c.round {
				ch.history.free(&c.budget)
				delete(t.channels, channel)
				t.names = ""
			}
		}
		if t.round != c.round {
			t.history.free(&c.budget)
			delete(c.topics, name)
		}
	}
}

// record writes the present second of history. What no node answers for gets a
// gap.
func (c *Cluster) record() {
	second := c.now.Unix()
	b := &c.budget
	if c.rated {
		recordNode(c.history, b, second, &c.sums)
		c.counter.add(b, second, c.sums.in)
	}
	for _, t := range c.topics {
		if !t.rated {
			continue
		}
		size := math.NaN()
		if t.own.published > 0 {
			size = t.own.bytes / t.own.published
		}
		s := &t.sums
		t.history.add(b, second, s.published, s.bytes, float64(s.depth-s.topicDepth), float64(s.topicDepth), size, float64(s.inFlight))
		for _, ch := range t.channels {
			if ch.nodes == 0 || t.unheardOf(ch) {
				continue
			}
			s := &ch.sums
			ch.history.add(b, second, s.in, s.finished, s.delivered, float64(s.depth), float64(s.inFlight), float64(s.deferred),
				60*s.requeued, 60*s.timedOut, ch.latency.ms(0.5), ch.latency.ms(0.95), ch.latency.ms(0.99))
		}
	}
}

// record writes the present second of a node's history: nothing while an answer
// is late, and a gap, from its last answer on, once it counts as silent.
func (n *node) record(b *allowance, second int64, fresh bool) {
	switch {
	case !fresh:
		n.history.gap(b, second)
	case n.rated && n.streak > 0:
		recordNode(n.history, b, second, &n.sums)
	}
}

func recordNode(h history, b *allowance, second int64, s *sums) {
	h.add(b, second, s.published, s.delivered, float64(s.depth), 60*s.requeued, 60*s.timedOut, float64(s.inFlight), float64(s.deferred))
}

// sortNodes puts the nodes in the order in which they are shown.
func (c *Cluster) sortNodes() {
	c.order = c.order[:0]
	for _, n := range c.nodes {
		c.order = append(c.order, n)
	}
	c.nameNodes()
	slices.SortFunc(c.order, func(a, b *node) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id)) })
}

// nameNodes gives every node a name of its own.
func (c *Cluster) nameNodes() {
	same := make(map[string]int)
	withPort := func(n *node) string {
		_, port, _ := net.SplitHostPort(n.id)
		return n.host + ":" + port
	}
	for _, n := range c.order {
		same[n.host]++
		same[withPort(n)]++
	}
	for _, n := range c.order {
		switch n.name = n.host; {
		case n.host == "" || same[withPort(n)] > 1:
			n.name = n.id
		case same[n.host] > 1:
			n.name = withPort(n)
		}
	}
}

// node finds a node by its id.
func (c *Cluster) node(id string) *node {
	for _, n := range c.order {
		if n.id == id {
			return n
		}
	}
	return nil
}

// without lists the nodes that the sums leave out.
func (c *Cluster) without() []string {
	names := []string{}
	for _, n := range c.order {
		if !n.fresh(c.now) {
			names = append(names, n.name)
		}
	}
	return names
}

// newest is the highest version of each program.
func (c *Cluster) newest() map[string]string {
	highest := make(map[string]string)
	for _, n := range c.order {
		if kind := n.kind(); kind != "" && version.Parse(highest[kind]).Less(version.Parse(n.version)) {
			highest[kind] = n.version
		}
	}
	return highest
}
