package cluster

import (
	"cmp"
	"fmt"
	"slices"

	"qmq/admin/words"
)

// TopicRow is a topic in a table of topics.
type TopicRow struct {
	Topic          string  `json:"topic"`
	Depth          int64   `json:"depth"`
	TopicDepth     int64   `json:"topic_depth"`
	BackendDepth   int64   `json:"backend_depth"`
	InFlight       int64   `json:"in_flight"`
	Deferred       int64   `json:"deferred"`
	Channels       int     `json:"channels"`
	Names          string  `json:"names"` // of the channels, with spaces between
	Consumers      int64   `json:"consumers"`
	Nodes          int     `json:"nodes"`
	Silent         int     `json:"silent"`  // nodes that have it and are left out
	Unknown        bool    `json:"unknown"` // only silent nodes have it: no figure says anything
	PubRate        Figure  `json:"pub_rate"`
	ByteRate       Figure  `json:"byte_rate"`
	DeliverRate    Figure  `json:"deliver_rate"`
	RequeueMin     Figure  `json:"requeue_min"`
	TimeoutMin     Figure  `json:"timeout_min"`
	Messages       int64   `json:"messages"`
	DiskBytes      *int64  `json:"disk_bytes"` // on the nodes that tell; null: none does
	Paused         bool    `json:"paused"`
	PausedChannels int     `json:"paused_channels"`
	NoConsumers    int     `json:"no_consumers"`
	Idle           bool    `json:"idle"`
	Level          Level   `json:"level"`
	Spark          Figures `json:"spark,omitempty"`
}

func (t *topicTotal) row(levels map[Pair]Level) TopicRow {
	s := &t.sums
	row := TopicRow{
		Topic: t.name, Depth: s.depth, TopicDepth: s.topicDepth, BackendDepth: s.backend, InFlight: s.inFlight, Deferred: s.deferred,
		Channels: len(t.channels), Consumers: s.consumers, Nodes: t.nodes, PubRate: t.history[rowPublished].recent(5), ByteRate: rate(t.rated, s.bytes),
		Messages: s.messages, DiskBytes: bytesOf(t.disk), Paused: t.paused > 0, Level: cmp.Or(levels[Pair{t.name, ""}], levelOK),
	}
	row.Names, row.Silent, row.Unknown = t.channelNames(), t.silent, t.unheard()
	row.DeliverRate, row.RequeueMin, row.TimeoutMin = t.sumOf(channelDelivered, 5), t.sumOf(channelRequeued, 60), t.sumOf(channelTimedOut, 60)
	for _, ch := range t.channels {
		if ch.sums.paused > 0 {
			row.PausedChannels++
		}
		if ch.sums.consumers == 0 && ch.sums.depth+ch.sums.deferred > 0 {
			row.NoConsumers++
		}
	}
	row.Idle = !row.Unknown && s.held() == 0 && orZero(row.PubRate) == 0 && orZero(row.DeliverRate) == 0
	return row
}

// sumOf adds a row of history over the channels: its mean of so many seconds.
func (t *topicTotal) sumOf(row, seconds int) Figure {
	if !t.rated {
		return unknown
	}
	sum := 0.0
	for _, ch := range t.channels {
		sum += orZero(ch.history[row].recent(seconds))
	}
	return Figure(sum)
}

// TopicsView are all topics, by their names.
type TopicsView struct {
	Rows    []TopicRow
	Without []string
}

// TopicsView is the page of topics.
func (c *Cluster) TopicsView() *TopicsView {
	levels := c.alerts.levels()
	v := &TopicsView{Rows: make([]TopicRow, 0, len(c.topics)), Without: c.without()}
	for _, name := range words.Sorted(c.topics) {
		v.Rows = append(v.Rows, c.topics[name].row(levels))
	}
	return v
}

type topicView struct {
	Topic       string         `json:"topic"`
	Paused      bool           `json:"paused"`
	PausedNodes int            `json:"paused_nodes"`
	Sub         string         `json:"sub"`
	Figures     topicFigures   `json:"figures"`
	Attention   []Alert        `json:"attention"`
	Channels    []channelRow   `json:"channels"`
	Nodes       []topicNode    `json:"nodes"`
	Point       map[string]any `json:"point"`
	Replicated  *replicated    `json:"replicated,omitempty"`
}

// replicated is where a replicated topic is.
type replicated struct {
	Set      string `json:"set"`
	Name     string `json:"name"`
	Shard    uint32 `json:"shard"`
	Leader   string `json:"leader"` // as members name it; empty: nobody
	Node     string `json:"node"`   // the leader's; empty: it does not answer
	NodeName string `json:"node_name"`
	Term     uint64 `json:"term"`
	Replicas int    `json:"replicas"` // nodes that answer and have it
	Lag      uint64 `json:"lag"`      // of the one that is most behind
}

type topicFigures struct {
	PubRate      Figure   `json:"pub_rate"`
	ByteRate     Figure   `json:"byte_rate"`
	TopicDepth   int64    `json:"topic_depth"`
	ChannelDepth int64    `json:"channel_depth"`
	BackendDepth int64    `json:"backend_depth"`
	InFlight     int64    `json:"in_flight"`
	Deferred     int64    `json:"deferred"`
	SizeMean     Figure   `json:"size_mean"`
	Messages     int64    `json:"messages"`
	Doubles      int64    `json:"doubles"` // publishes since the nodes started that were OK'd and not stored
	DiskBytes    *int64   `json:"disk_bytes"`
	Channels     int      `json:"channels"`
	Nodes        int      `json:"nodes"`
	Consumers    int64    `json:"consumers"`
	Without      []string `json:"without"`
	Unknown      bool     `json:"unknown"` // only silent nodes have it: no figure says anything
}

type channelRow struct {
	Channel      string       `json:"channel"`
	Depth        int64        `json:"depth"`
	BackendDepth int64        `json:"backend_depth"`
	InFlight     int64        `json:"in_flight"`
	Deferred     int64        `json:"deferred"`
	InRate       Figure       `json:"in_rate"`
	DeliverRate  Figure       `json:"deliver_rate"`
	FinishRate   Figure       `json:"finish_rate"`
	RequeueMin   Figure       `json:"requeue_min"`
	TimeoutMin   Figure       `json:"timeout_min"`
	Messages     int64        `json:"messages"`
	Consumers    int64        `json:"consumers"`
	Silent       int          `json:"silent"`
	Unknown      bool         `json:"unknown"`
	Paused       bool         `json:"paused"`
	Level        Level        `json:"level"`
	Latency      []latencyRow `json:"latency"`
	Spark        Figures      `json:"spark"`
	Bounded      *bounded     `json:"bounded,omitempty"`
}

type topicNode struct {
	Node         string  `json:"node"`
	Name         string  `json:"name"`
	Zone         string  `json:"zone"`
	State        Level   `json:"state"`
	Stale        bool    `json:"stale"`
	Seen         *int64  `json:"seen"`
	Depth        int64   `json:"depth"`
	TopicDepth   int64   `json:"topic_depth"`
	InFlight     int64   `json:"in_flight"`
	Deferred     int64   `json:"deferred"`
	MemoryDepth  int64   `json:"memory_depth"`
	BackendDepth int64   `json:"backend_depth"`
	PubRate      Figure  `json:"pub_rate"`
	Messages     int64   `json:"messages"`
	DiskBytes    *int64  `json:"disk_bytes"`
	Paused       bool    `json:"paused"`
	Tombstoned   bool    `json:"tombstoned"`
	Channels     int     `json:"channels"`
	Spark        Figures `json:"spark"`
	Role         string  `json:"role,omitempty"` // for a replicated topic
	Lag          uint64  `json:"lag,omitempty"`  // entries that it is behind
}

func (c *Cluster) topicView(t *topicTotal) *topicView {
	s := &t.sums
	second := c.now.Unix()
	v := &topicView{Topic: t.name, Paused: t.paused > 0, PausedNodes: t.paused, Channels: []channelRow{}, Nodes: []topicNode{}}
	v.Attention = c.alertRows(c.alerts.about(func(l *Alert) bool { return l.Topic == t.name }))
	v.Figures = topicFigures{
		PubRate: t.history[rowPublished].recent(5), ByteRate: t.history[1].recent(5), TopicDepth: s.topicDepth, ChannelDepth: s.depth - s.topicDepth,
		BackendDepth: s.backend, InFlight: s.inFlight, Deferred: s.deferred, SizeMean: t.history[4].recent(60), Messages: s.messages, Doubles: s.doubles, DiskBytes: bytesOf(t.disk),
		Channels: len(t.channels), Nodes: t.nodes, Consumers: s.consumers, Without: c.withoutOf(Pair{Topic: t.name}), Unknown: t.unheard(),
	}
	v.Sub = t.sub(len(v.Attention)) + c.silentSub(Pair{Topic: t.name})
	levels := c.alerts.levels()
	for _, name := range words.Sorted(t.channels) {
		v.Channels = append(v.Channels, t.channelRow(t.channels[name], levels, second))
	}
	for _, n := range c.order {
		nt := n.topics[t.name]
		if nt == nil {
			continue
		}
		fresh := n.fresh(c.now)
		v.Nodes = append(v.Nodes, topicNode{
			Node: n.id, Name: n.name, Zone: n.zone, State: c.stateOf(n), Stale: !fresh, Seen: millis(n.at), Depth: nt.sums.depth, TopicDepth: nt.own.depth, InFlight: nt.sums.inFlight, Deferred: nt.sums.deferred, MemoryDepth: nt.sums.depth - nt.sums.backend,
			BackendDepth: nt.sums.backend, PubRate: rate(fresh && n.rated, nt.own.published), Messages: nt.sums.messages, DiskBytes: bytesOf(nt.disk), Paused: nt.paused,
			Tombstoned: n.tombstoned[t.name], Channels: len(nt.order), Spark: nt.published.spark(second), Role: nt.replica.Role, Lag: c.lagOf(n, nt),
		})
	}
	v.Replicated = c.replicatedAt(t)
	v.Point = c.marked(t.history.point(topicRows, c.now), View{Kind: "topic", Topic: t.name})
	return v
}

func (t *topicTotal) sub(wrong int) string {
	if t.round == 0 {
		return "No node has this topic: the lookupds know it, and the first message brings it to a node."
	}
	text := fmt.Sprintf("%s on %s", words.Count(int64(len(t.channels)), "channel"), words.Count(int64(t.nodes+t.silent), "node"))
	switch {
	case t.shared && t.leader == nil && t.nodes > 0:
		text += ", nobody leads it: its figures are not known"
	case t.unheard():
	case t.paused > 0:
		text += ", paused"
	case wrong > 0:
		text += fmt.Sprintf(", %d needing attention", wrong)
	case orZero(t.history[rowPublished].recent(60)) > 0 && len(t.channels) > 0 && t.sums.consumers > 0:
		text += ", all flowing"
	}
	return text
}

func (t *topicTotal) channelRow(ch *channelTotal, levels map[Pair]Level, second int64) channelRow {
	s, h := &ch.sums, ch.history
	return channelRow{
		Channel: ch.pair.Channel, Depth: s.depth, BackendDepth: s.backend, InFlight: s.inFlight, Deferred: s.deferred,
		InRate: h[channelIn].recent(5), DeliverRate: h[channelDelivered].recent(5), FinishRate: h[channelFinished].recent(5),
		RequeueMin: h[channelRequeued].recent(60), TimeoutMin: h[channelTimedOut].recent(60), Messages: s.messages, Consumers: s.consumers,
		Silent: ch.silent, Unknown: t.unheardOf(ch), Paused: s.paused > 0, Level: cmp.Or(levels[ch.pair], levelOK), Latency: ch.latency.rows(), Spark: h[channelDepth].spark(second),
		Bounded: s.boundedAt(),
	}
}

// withoutOf lists the silent nodes that have a topic or channel.
func (c *Cluster) withoutOf(p Pair) []string {
	names := []string{}
	for _, to := range c.Having(p) {
		if n := c.node(to.ID); n != nil && !n.fresh(c.now) {
			names = append(names, n.name)
		}
	}
	return names
}

// silentSub says which nodes that have a topic or channel are silent, and since when;
// empty if none is.
func (c *Cluster) silentSub(p Pair) string {
	text := ""
	for _, to := range c.Having(p) {
		if n := c.node(to.ID); n != nil && !n.fresh(c.now) {
			text += "; without " + words.ShortName(n.name)
			if !n.at.IsZero() {
				text += " since " + words.Time(n.at)
			}
		}
	}
	return text
}

type counterView struct {
	Total   int64          `json:"total"`
	Rate    Figure         `json:"rate"`
	Topics  []counterTopic `json:"topics"`
	Without []string       `json:"without"`
	Point   map[string]any `json:"point"`
}

type counterTopic struct {
	Topic string `json:"topic"`
	Count int64  `json:"count"`
	Rate  Figure `json:"rate"`
}

const counterTopics = 20

func (c *Cluster) counterView() *counterView {
	v := &counterView{Total: c.sums.copied, Rate: c.counter[0].recent(5), Topics: []counterTopic{}, Without: c.without(), Point: c.marked(c.counter.point(counterRows, c.now), View{Kind: "counter"})}
	for _, name := range words.Sorted(c.topics) {
		t := c.topics[name]
		v.Topics = append(v.Topics, counterTopic{name, t.sums.copied, t.sumOf(channelIn, 5)})
	}
	slices.SortStableFunc(v.Topics, func(a, b counterTopic) int { return cmp.Compare(b.Count, a.Count) })
	v.Topics = v.Topics[:min(len(v.Topics), counterTopics)]
	return v
}
