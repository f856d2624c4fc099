package cluster

import (
	"cmp"
	"slices"
	"time"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
	"qmq/internal/version"
)

// NodesView are all daemons, with a row of sums.
type NodesView struct {
	Nodes      []NodeRow    `json:"nodes"`
	Total      nodesTotal   `json:"total"`
	Lookupds   []lookupdRow `json:"lookupds"`
	Tombstones []tombstone  `json:"tombstones"`
	Zones      int          `json:"zones"`
}

// NodeRow is a node in a table of nodes. While it is silent, what it said last.
type NodeRow struct {
	Node         string             `json:"node"`
	Name         string             `json:"name"`
	TCP          string             `json:"tcp"`
	HTTP         string             `json:"http"`
	Zone         string             `json:"zone"`
	Region       string             `json:"region"`
	Kind         string             `json:"kind"`
	Version      string             `json:"version"`
	Behind       string             `json:"behind"`
	State        Level              `json:"state"`
	Stale        bool               `json:"stale"`
	Seen         *int64             `json:"seen"`
	Error        string             `json:"error"`
	Health       string             `json:"health"`
	Draining     bool               `json:"draining"` // it refuses publishes and leaves when it is empty
	Damage       *nodeclient.Damage `json:"damage"`
	UpMS         *int64             `json:"up_ms"`
	Registered   *int               `json:"registered"`
	Lookupds     int                `json:"lookupds"`
	MissingAt    []string           `json:"missing_at"`
	Topics       int                `json:"topics"`
	Channels     int64              `json:"channels"`
	Clients      int64              `json:"clients"`
	Depth        int64              `json:"depth"`
	BackendDepth int64              `json:"backend_depth"`
	InFlight     int64              `json:"in_flight"`
	Deferred     int64              `json:"deferred"`
	HeapBytes    *int64             `json:"heap_bytes"`
	OpenFiles    *int64             `json:"open_files"` // descriptors; null where the node does not tell
	MaxOpenFiles *int64             `json:"max_open_files"`
	DiskFree     *int64             `json:"disk_free_bytes"` // null where the node does not tell
	DiskUsed     *int64             `json:"disk_used_bytes"`
	DiskFullMS   *int64             `json:"disk_full_ms"` // until it is full at this rate; null: it does not fill
	PubRate      Figure             `json:"pub_rate"`
	DeliverRate  Figure             `json:"deliver_rate"`
	AnswerMS     Figure             `json:"answer_ms"`
	Spark        Figures            `json:"spark"`
	Replicas     *nodeReplicas      `json:"replicas,omitempty"` // of a node that is, or is to be, in a set
}

// nodeReplicas is what a node is in its set.
type nodeReplicas struct {
	Set     string `json:"set"`
	Name    string `json:"name"`
	Address string `json:"address"`
	State   string `json:"state"`
	Leads   int    `json:"leads"`
	Shards  int    `json:"shards"`
	Lag     uint64 `json:"lag"` // entries, in all shards
}

type nodesTotal struct {
	Clients      int64    `json:"clients"`
	Depth        int64    `json:"depth"`
	BackendDepth int64    `json:"backend_depth"`
	InFlight     int64    `json:"in_flight"`
	Deferred     int64    `json:"deferred"`
	HeapBytes    *int64   `json:"heap_bytes"`
	PubRate      Figure   `json:"pub_rate"`
	DeliverRate  Figure   `json:"deliver_rate"`
	Without      []string `json:"without"`
}

type lookupdRow struct {
	Address   string `json:"address"`
	State     Level  `json:"state"`
	Error     string `json:"error"`
	Version   string `json:"version"`
	AnswerMS  Figure `json:"answer_ms"`
	Topics    int    `json:"topics"`
	Producers int    `json:"producers"`
	Of        int    `json:"of"`
}

type tombstone struct {
	Topic string `json:"topic"`
	Node  string `json:"node"`
	Name  string `json:"name"`
	Since *int64 `json:"since"`
	LeftS *int64 `json:"left_s"` // directories do not say
}

// stateOf is how a node runs: by what its lines say, or because it is silent.
// Damage that it found, and that its disk is about to be full, is told beside that.
func (c *Cluster) stateOf(n *node) Level {
	if !c.retired(n) && !c.left(n) && (n.missed >= missedPolls || n.at.IsZero() && n.missed > 0) {
		return LevelCrit
	}
	return c.alerts.levelOf(func(l *Alert) bool {
		return l.Node == n.id && l.Rule != "" && l.Rule != ruleDamage && l.Rule != ruleDiskFills
	})
}

// nodeRate is a rate of a node, unknown while it is silent.
func (c *Cluster) nodeRate(n *node, row int) Figure {
	if !n.fresh(c.now) {
		return unknown
	}
	return n.history[row].recent(5)
}

func (c *Cluster) nodeRow(n *node, newest string) NodeRow {
	row := NodeRow{
		Node: n.id, Name: n.name, TCP: n.tcp, HTTP: n.address, Zone: n.zone, Region: n.region, Kind: n.kind(), Version: n.version,
		State: c.stateOf(n), Stale: !n.fresh(c.now), Seen: millis(n.at), Error: n.problem, Health: n.health, Draining: n.draining, Damage: n.damage, Lookupds: len(c.lookupds),
		Topics: len(n.order), Channels: n.sums.channels, Clients: n.sums.consumers, Depth: n.sums.depth, BackendDepth: n.sums.backend,
		InFlight: n.sums.inFlight, Deferred: n.sums.deferred, PubRate: c.nodeRate(n, rowPublished), DeliverRate: c.nodeRate(n, rowDelivered),
		AnswerMS: Figure(float64(n.took) / float64(time.Millisecond)), Spark: n.history[rowDelivered].spark(c.now.Unix()),
	}
	if version.Parse(n.version).Less(version.Parse(newest)) {
		row.Behind = newest
	}
	if n.started > 0 {
		to := c.now
		if row.Stale {
			to = n.at // nobody knows whether it runs
		}
		up := max(to.Sub(time.Unix(n.started, 0)).Milliseconds(), 0)
		row.UpMS = &up
	}
	if n.heap >= 0 {
		heap := n.heap
		row.HeapBytes = &heap
	}
	if n.files > 0 && n.maxFiles > 0 {
		open, most := n.files, n.maxFiles
		row.OpenFiles, row.MaxOpenFiles = &open, &most
	}
	if d := n.disk; d.known {
		row.DiskFree, row.DiskUsed = &d.free, &d.used
		if in := n.disk.fullIn().Milliseconds(); in > 0 && !row.Stale {
			row.DiskFullMS = &in
		}
	}
	row.Replicas = c.nodeReplicas(n)
	row.MissingAt, _ = c.missingAt(n)
	if row.MissingAt == nil {
		row.MissingAt = []string{}
	}
	if len(c.lookupds) > 0 {
		registered := len(n.registered)
		row.Registered = &registered
	}
	return row
}

// NodesView is the page of daemons.
func (c *Cluster) NodesView() *NodesView {
	s := &c.sums
	v := &NodesView{
		Nodes: []NodeRow{}, Lookupds: c.lookupdRows(), Tombstones: c.tombstones(),
		Total: nodesTotal{
			Clients: s.consumers, Depth: s.depth, BackendDepth: s.backend, InFlight: s.inFlight, Deferred: s.deferred,
			PubRate: c.history[rowPublished].recent(5), DeliverRate: c.history[rowDelivered].recent(5), Without: c.without(),
		},
	}
	newest, zones := c.newest(), make(map[string]bool)
	for _, n := range c.order {
		v.Nodes = append(v.Nodes, c.nodeRow(n, newest[n.kind()]))
		if n.zone != "" {
			zones[n.zone] = true
		}
		if n.heap >= 0 && n.fresh(c.now) {
			if v.Total.HeapBytes == nil {
				v.Total.HeapBytes = new(int64)
			}
			*v.Total.HeapBytes += n.heap
		}
	}
	v.Zones = len(zones)
	return v
}

func (c *Cluster) lookupdRows() []lookupdRow {
	rows := []lookupdRow{}
	for _, l := range c.lookupds {
		incomplete := slices.ContainsFunc(c.order, func(n *node) bool { return l.absent[n.address] >= missingPolls })
		rows = append(rows, lookupdRow{
			Address: l.address, State: l.state(incomplete), Error: l.problem, Version: l.version,
			AnswerMS: rate(l.asked > 0, float64(l.took)/float64(time.Millisecond)), Topics: len(l.topics), Producers: len(l.nodes), Of: len(c.order),
		})
	}
	return rows
}

func (c *Cluster) tombstones() []tombstone {
	list := []tombstone{}
	for _, n := range c.order {
		for _, topic := range words.Sorted(n.tombstoned) {
			list = append(list, tombstone{Topic: topic, Node: n.id, Name: n.name, Since: c.tombstonedAt(topic, n.id)})
		}
	}
	slices.SortStableFunc(list, func(a, b tombstone) int { return cmp.Compare(a.Topic, b.Topic) })
	return list
}

// tombstonedAt is known when it was done here.
func (c *Cluster) tombstonedAt(topic, node string) *int64 {
	for _, m := range slices.Backward(c.marks) {
		if m.Kind == "action" && m.Topic == topic && m.Node == node {
			return millis(m.At)
		}
	}
	return nil
}

type nodeView struct {
	Node      NodeRow        `json:"node"`
	Attention []Alert        `json:"attention"`
	Topics    []nodeTopicRow `json:"topics"`
	Point     map[string]any `json:"point"`
}

type nodeTopicRow struct {
	Topic        string `json:"topic"`
	Depth        int64  `json:"depth"`
	BackendDepth int64  `json:"backend_depth"`
	InFlight     int64  `json:"in_flight"`
	Deferred     int64  `json:"deferred"`
	Channels     int    `json:"channels"`
	Consumers    int64  `json:"consumers"`
	PubRate      Figure `json:"pub_rate"`
	Messages     int64  `json:"messages"`
	DiskBytes    *int64 `json:"disk_bytes"`
	Paused       bool   `json:"paused"`
	Tombstoned   bool   `json:"tombstoned"`
	Role         string `json:"role,omitempty"` // for a replicated topic
	Lag          uint64 `json:"lag,omitempty"`
}

func (c *Cluster) nodeView(n *node) *nodeView {
	v := &nodeView{Node: c.nodeRow(n, c.newest()[n.kind()]), Topics: []nodeTopicRow{}, Point: c.marked(n.history.point(clusterRows, c.now), View{Kind: "node", Node: n.id})}
	v.Attention = c.alertRows(c.alerts.about(func(l *Alert) bool { return l.Node == n.id }))
	known := n.rated && n.fresh(c.now)
	for _, t := range n.order {
		s := &t.sums
		v.Topics = append(v.Topics, nodeTopicRow{t.name, s.depth, s.backend, s.inFlight, s.deferred, len(t.order), s.consumers,
			rate(known, t.own.published), s.messages, bytesOf(t.disk), t.paused, n.tombstoned[t.name], t.replica.Role, c.lagOf(n, t)})
	}
	return v
}

// bytesOf are bytes that may be unknown, which is -1.
func bytesOf(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

type lookupView struct {
	Lookupds   []lookupdRow    `json:"lookupds"`
	Inactive   []inactiveTopic `json:"inactive"`
	Tombstones []tombstone     `json:"tombstones"`
	CanCreate  bool            `json:"can_create"`
}

type inactiveTopic struct {
	Topic    string   `json:"topic"`
	Channels []string `json:"channels"`
}

// lookupView lists topics that no node has.
func (c *Cluster) lookupView() *lookupView {
	v := &lookupView{Lookupds: c.lookupdRows(), Inactive: []inactiveTopic{}, Tombstones: c.tombstones(), CanCreate: len(c.lookupds) > 0}
	channels := make(map[string]map[string]bool)
	for _, l := range c.lookupds {
		for topic := range l.inactive() {
			if channels[topic] == nil {
				channels[topic] = make(map[string]bool)
			}
			for _, name := range l.channels[topic].names {
				channels[topic][name] = true
			}
		}
	}
	for _, l := range c.lookupds { // what one of them knows a node for is not inactive
		inactive := l.inactive()
		for _, topic := range l.topics {
			if !inactive[topic] {
				delete(channels, topic)
			}
		}
	}
	for _, topic := range words.Sorted(channels) {
		v.Inactive = append(v.Inactive, inactiveTopic{topic, words.Sorted(channels[topic])})
	}
	return v
}
