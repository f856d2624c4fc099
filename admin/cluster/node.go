package cluster

import (
	"hash/fnv"
	"math"
	"time"

	"qmq/internal/nodeclient"
	"qmq/internal/version"
)

// node is what is known of a qd or nsqd.
type node struct {
	serial  uint64 // made of the address; sums of these tell sets of nodes apart
	id      string // broadcast_address:http_port; the address, until it has told
	address string // where it is asked
	host    string // its host name
	name    string // for people: the host name, with the port if nodes share a host
	tcp     string
	zone    string
	region  string
	version string

	asked  time.Time // when the question under way, or the last one, began
	asking bool
	at     time.Time // its last answer
	took   time.Duration
	contact
	gone    time.Time // since when no directory knows it
	counted bool      // in the sums, at the last update
	asks    int       // answers there were

	introduced bool  // it has said itself who it is
	infoOf     int64 // start of the process that said so
	memoryAt   time.Time

	health   string
	draining bool
	damage   *nodeclient.Damage
	started  int64 // s since 1970
	heap     int64 // bytes; -1 unknown
	files    int64 // descriptors that are open, of maxFiles; 0 unknown
	maxFiles int64
	disk     disk
	sums     sums
	rated    bool // two answers can be compared
	topics   map[string]*nodeTopic
	order    []*nodeTopic // as the node lists them
	round    uint32
	decoder  nodeclient.Decoder
	history  history

	set   *nodeclient.Set // what it said last of the set that it is in; nil: it is in none
	setAt time.Time       // when it was last asked for it

	registered map[string]bool // at which directories
	tombstoned map[string]bool // for which topics
}

// nodeTopic is a topic on one node.
type nodeTopic struct {
	name       string
	sums       sums  // with its channels
	own        sums  // without
	messages   int64 // own counters
	bytesTotal int64
	paused     bool
	disk       int64              // bytes of its segments; -1 unknown
	replica    nodeclient.Replica // what the node is for it; no role: it is not replicated
	rated      bool               // two answers can be compared
	channels   map[string]*nodeChannel
	order      []*nodeChannel
	published  minutes
	round      uint32
	total      *topicTotal
}

// nodeChannel is a channel on one node.
type nodeChannel struct {
	name     string
	sums     sums
	until    int64 // the number at which it ends; 0: it does not
	latency  nodeclient.Latency
	depth    minutes
	round    uint32
	smoothed struct{ in, requeued, timedOut float64 }
	total    *channelTotal
}

func newNode(id, address string) *node {
	return &node{serial: serialOf(address), id: id, address: address, host: id, name: id, heap: -1, topics: make(map[string]*nodeTopic), history: newHistory(clusterRows),
		registered: make(map[string]bool), tombstoned: make(map[string]bool)}
}

func serialOf(address string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(address))
	return h.Sum64()
}

// kind is the name of its program. Ours start at 2.0.0.
func (n *node) kind() string { return kindOf(n.version) }

func kindOf(said string) string {
	switch v := version.Parse(said); {
	case said == "":
		return ""
	case v[0] >= 2:
		return "qd"
	}
	return "nsqd"
}

// fresh tells whether what it last said may be added to the sums. It does not
// depend on how often is asked: that changes with every viewer that comes.
func (n *node) fresh(now time.Time) bool {
	age := now.Sub(n.at)
	return !n.at.IsZero() && (age <= staleAfter || n.streak > 0 && age <= oldAfter)
}

// take puts an answer in the place of the one before. It tells whether the
// node has restarted meanwhile.
func (n *node) take(b *allowance, s *nodeclient.Stats, at time.Time, emptied func(topic, channel string) bool) (restarted bool) {
	dt := 0.0
	if !n.at.IsZero() && n.started == s.StartTime {
		dt = at.Sub(n.at).Seconds()
	}
	restarted = n.started != 0 && n.started != s.StartTime
	n.rated = dt > 0
	n.asks++
	n.at, n.started, n.health, n.damage, n.version = at, s.StartTime, s.Health, s.Damage, s.Version
	n.draining = s.Draining
	if s.HeapInUse >= 0 {
		n.heap, n.files, n.maxFiles = s.HeapInUse, s.OpenFiles, s.MaxOpenFiles
	}
	n.disk.take(s, at)
	n.round++
	n.sums = sums{}
	old := n.order
	n.order = make([]*nodeTopic, 0, len(s.Topics))
	for i := range s.Topics {
		t := &s.Topics[i]
		known := n.topicAt(old, i, t.Name)
		known.round = n.round
		known.take(b, t, at, dt, emptied)
		n.sums.add(&known.sums)
		n.order = append(n.order, known)
	}
	for _, t := range old {
		if t.round != n.round {
			t.free(b)
			delete(n.topics, t.name)
		}
	}
	return restarted
}

// topicAt finds a topic, mostly where it was before.
func (n *node) topicAt(old []*nodeTopic, i int, name string) *nodeTopic {
	if i < len(old) && old[i].name == name {
		return old[i]
	}
	t := n.topics[name]
	if t == nil {
		t = &nodeTopic{name: name, channels: make(map[string]*nodeChannel)}
		n.topics[name] = t
	}
	return t
}

func (t *nodeTopic) take(b *allowance, now *nodeclient.Topic, at time.Time, dt float64, emptied func(topic, channel string) bool) {
	if now.Replica.Role != t.replica.Role || now.Replica.Term != t.replica.Term {
		dt = 0 // another node counted before
	}
	t.replica, t.rated = now.Replica, dt > 0
	t.own = topicSums(now, t, dt)
	t.messages, t.bytesTotal, t.paused, t.disk = now.Messages, now.Bytes, now.Paused, now.DiskBytes
	t.sums = t.own
	t.published.add(b, at.Unix(), float32(t.own.published))
	round := t.round
	old := t.order
	if cap(old) < len(now.Channels) || len(old) != len(now.Channels) {
		t.order = make([]*nodeChannel, len(now.Channels))
	}
	for i := range now.Channels {
		c := &now.Channels[i]
		known := t.channelAt(old, i, c.Name)
		known.round = round
		known.sums = channelSums(c, &known.sums, dt, emptied(t.name, c.Name))
		known.latency, known.until = c.Latency, c.Until
		known.depth.add(b, at.Unix(), float32(c.Depth))
		known.smooth(dt)
		t.sums.addChannel(&known.sums)
		t.order[i] = known
	}
	if len(t.channels) == len(t.order) {
		return
	}
	for name, c := range t.channels {
		if c.round != round {
			c.depth.ring.free(b)
			delete(t.channels, name)
		}
	}
}

func (t *nodeTopic) channelAt(old []*nodeChannel, i int, name string) *nodeChannel {
	if i < len(old) && old[i].name == name {
		return old[i]
	}
	c := t.channels[name]
	if c == nil {
		c = &nodeChannel{name: name}
		t.channels[name] = c
	}
	return c
}

func (t *nodeTopic) free(b *allowance) {
	t.published.ring.free(b)
	for _, c := range t.channels {
		c.depth.ring.free(b)
	}
}

// smooth keeps rates of a channel on one node, of which there is no history:
// of a few seconds what comes in, of about a minute what comes back.
func (c *nodeChannel) smooth(dt float64) {
	if dt <= 0 {
		return
	}
	mix := func(rate *float64, now, seconds float64) { *rate += (now - *rate) * (1 - math.Exp(-dt/seconds)) }
	mix(&c.smoothed.in, c.sums.in, 3)
	mix(&c.smoothed.requeued, c.sums.requeued, 30)
	mix(&c.smoothed.timedOut, c.sums.timedOut, 30)
}
