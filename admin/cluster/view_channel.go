package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"qmq/admin/words"
)

// ChannelView is the page of a channel.
type ChannelView struct {
	Topic       string          `json:"topic"`
	Channel     string          `json:"channel"`
	Paused      bool            `json:"paused"`
	PausedNodes int64           `json:"paused_nodes"`
	Sub         string          `json:"sub"`
	Verdict     *channelVerdict `json:"verdict"`
	Bounded     *bounded        `json:"bounded,omitempty"`
	Figures     channelFigures  `json:"figures"`
	Latency     []latencyRow    `json:"latency"`
	Attention   []Alert         `json:"attention"`
	Clients     []ConsumerRow   `json:"clients"`
	ClientsCut  int             `json:"clients_cut"`
	Nodes       []channelNode   `json:"nodes"`
	Point       map[string]any  `json:"point"`
}

type channelVerdict struct {
	Level Level  `json:"level"`
	Title string `json:"title"`
	Text  string `json:"text"`
}

// bounded is what there is to say of a channel that has an end.
type bounded struct {
	Done   bool  `json:"done"`   // it has had everything before, on all nodes
	Leaves bool  `json:"leaves"` // it is deleted then, once it has no consumers
	Left   int64 `json:"left"`   // messages that it has not finished
}

func (s *sums) boundedAt() *bounded {
	if s.bounded == 0 {
		return nil
	}
	return &bounded{Done: s.done == s.bounded, Leaves: s.leaving > 0, Left: s.held()}
}

type channelFigures struct {
	Depth        int64    `json:"depth"`
	BackendDepth int64    `json:"backend_depth"`
	GrowRate     Figure   `json:"grow_rate"`
	InFlight     int64    `json:"in_flight"`
	Ready        *int64   `json:"ready"`
	Deferred     int64    `json:"deferred"`
	HeldBack     int64    `json:"held_back"` // of the depth, wait for others of their keys
	Stopped      int64    `json:"stopped"`   // given up in their place, and hold back what comes after them
	InRate       Figure   `json:"in_rate"`
	Messages     int64    `json:"messages"`
	DeliverRate  Figure   `json:"deliver_rate"`
	FinishRate   Figure   `json:"finish_rate"`
	FinishShare  Share    `json:"finish_share"`
	RequeueMin   Figure   `json:"requeue_min"`
	Requeues     int64    `json:"requeues"`
	TimeoutMin   Figure   `json:"timeout_min"`
	Timeouts     int64    `json:"timeouts"`
	Consumers    int64    `json:"consumers"`
	Nodes        int      `json:"nodes"`
	Without      []string `json:"without"`
	Unknown      bool     `json:"unknown"` // only silent nodes have it: no figure says anything
}

type channelNode struct {
	Node         string  `json:"node"`
	Name         string  `json:"name"`
	Zone         string  `json:"zone"`
	State        Level   `json:"state"`
	Stale        bool    `json:"stale"`
	Seen         *int64  `json:"seen"`
	Depth        int64   `json:"depth"`
	MemoryDepth  int64   `json:"memory_depth"`
	BackendDepth int64   `json:"backend_depth"`
	InFlight     int64   `json:"in_flight"`
	Deferred     int64   `json:"deferred"`
	InRate       Figure  `json:"in_rate"`
	RequeueMin   Figure  `json:"requeue_min"`
	TimeoutMin   Figure  `json:"timeout_min"`
	Messages     int64   `json:"messages"`
	Consumers    int64   `json:"consumers"`
	Paused       bool    `json:"paused"`
	Peek         bool    `json:"peek"`
	Version      string  `json:"version"`
	Kind         string  `json:"kind"`
	Spark        Figures `json:"spark"`
	Role         string  `json:"role,omitempty"`  // for a replicated topic
	Until        string  `json:"until,omitempty"` // number at which a bounded channel ends; too large for a number of JavaScript
	Done         bool    `json:"done,omitempty"`
}

func (c *Cluster) channelView(t *topicTotal, ch *channelTotal, k Consumers) *ChannelView {
	s, h := &ch.sums, ch.history
	v := &ChannelView{
		Topic: t.name, Channel: ch.pair.Channel, Paused: s.paused > 0, PausedNodes: s.paused, Latency: ch.latency.rows(), Nodes: []channelNode{},
		Sub: fmt.Sprintf("%s on %s", words.Count(s.consumers, "consumer"), words.Count(int64(ch.nodes), "node")) + c.silentSub(ch.pair),
	}
	mine := func(l *Alert) bool { return l.Topic == t.name && l.Channel == ch.pair.Channel }
	v.Attention = c.alertRows(c.alerts.about(mine))
	v.Figures = channelFigures{
		Depth: s.depth, BackendDepth: s.backend, GrowRate: ch.grows(), InFlight: s.inFlight, Deferred: s.deferred, HeldBack: s.heldBack, Stopped: s.stopped, InRate: h[channelIn].recent(5),
		Messages: s.messages, DeliverRate: h[channelDelivered].recent(5), FinishRate: h[channelFinished].recent(5), RequeueMin: h[channelRequeued].recent(60),
		Requeues: s.requeues, TimeoutMin: h[channelTimedOut].recent(60), Timeouts: s.timeouts, Consumers: s.consumers, Nodes: ch.nodes, Without: c.withoutOf(ch.pair), Unknown: t.unheardOf(ch),
	}
	v.Figures.FinishShare = shareOf(float64(v.Figures.FinishRate), float64(v.Figures.InRate))
	if !k.At.IsZero() {
		v.Figures.Ready = &k.ready
		v.Clients = slices.Clone(k.rows[:min(len(k.rows), maxConsumers)])
		v.ClientsCut = len(k.rows) - len(v.Clients)
		if v.Clients == nil {
			v.Clients = []ConsumerRow{}
		}
	}
	if len(v.Attention) > 0 {
		for i := range v.Clients {
			k := &v.Clients[i]
			k.Hot = k.Ready > 0 && k.InFlight*100 >= k.Ready*95
		}
	}
	v.Nodes, v.Bounded = c.channelNodes(ch.pair), s.boundedAt()
	v.Point = c.marked(h.point(channelRows, c.now), View{Kind: "channel", Topic: t.name, Channel: ch.pair.Channel})
	v.Verdict = v.judge(k)
	return v
}

func (c *Cluster) channelNodes(p Pair) []channelNode {
	rows := []channelNode{}
	for _, n := range c.order {
		nt := n.topics[p.Topic]
		if nt == nil || nt.channels[p.Channel] == nil {
			continue
		}
		nc := nt.channels[p.Channel]
		s, known := &nc.sums, n.rated && n.fresh(c.now)
		rows = append(rows, channelNode{
			Node: n.id, Name: n.name, Zone: n.zone, State: c.stateOf(n), Stale: !n.fresh(c.now), Seen: millis(n.at),
			Depth: s.depth, MemoryDepth: s.depth - s.backend, BackendDepth: s.backend, InFlight: s.inFlight, Deferred: s.deferred,
			InRate: rate(known, nc.smoothed.in), RequeueMin: rate(known, 60*nc.smoothed.requeued), TimeoutMin: rate(known, 60*nc.smoothed.timedOut),
			Messages: s.messages, Consumers: s.consumers, Paused: s.paused > 0, Peek: n.kind() == "qd", Version: n.version, Kind: n.kind(),
			Spark: nc.depth.spark(c.now.Unix()), Role: nt.replica.Role, Until: nc.end(), Done: s.done > 0,
		})
	}
	return rows
}

// end is the number at which a channel ends; empty where it does not.
func (c *nodeChannel) end() string {
	if c.until == 0 {
		return ""
	}
	return strconv.FormatInt(c.until, 10)
}

// grows is how fast the depth has moved over the last minute.
func (ch *channelTotal) grows() Figure {
	d := &ch.history[channelDepth].fine
	if d.last == 0 {
		return unknown
	}
	now := d.at(fineSlots, d.last)
	for back := int64(60); back >= 5; back-- {
		if was := d.at(fineSlots, d.last-back); was == was && now == now {
			return Figure(float64(now-was) / float64(back))
		}
	}
	return unknown
}

// judge says what is wrong with the channel, and what the numbers show of why.
func (v *ChannelView) judge(k Consumers) *channelVerdict {
	if len(v.Attention) == 0 {
		return nil
	}
	l := v.Attention[0]
	if l.Rule != "timeouts" {
		return &channelVerdict{l.Level, l.Text + ".", ""}
	}
	return &channelVerdict{l.Level, fmt.Sprintf("Deliveries time out since {t:%d}.", l.Since), v.timeoutsAt(k)}
}

// timeoutsAt names the nodes on which nearly all deliveries time out, if these are
// not just all nodes, and the consumers there if they are few.
func (v *ChannelView) timeoutsAt(k Consumers) string {
	if len(v.Figures.Without) > 0 {
		return "" // nobody knows what those do that are silent
	}
	nodes := slices.Clone(v.Nodes)
	slices.SortStableFunc(nodes, func(a, b channelNode) int { return cmp.Compare(orZero(b.TimeoutMin), orZero(a.TimeoutMin)) })
	total := 0.0
	for i := range nodes {
		total += orZero(nodes[i].TimeoutMin)
	}
	if total == 0 {
		return ""
	}
	var names, ids []string
	sum := 0.0
	for i := range nodes {
		if sum >= 0.9*total {
			break
		}
		sum += orZero(nodes[i].TimeoutMin)
		names, ids = append(names, words.ShortName(nodes[i].Name)), append(ids, nodes[i].Node)
	}
	if len(names) == len(nodes) && len(nodes) > 1 || len(names) > 3 {
		return ""
	}
	text := fmt.Sprintf("%s of them on %s", words.Percent(sum, total), words.List(names))
	var there []string
	held := int64(0)
	for i := range k.rows {
		if one := &k.rows[i]; slices.Contains(ids, one.Node) {
			there = append(there, one.ID)
			held += one.InFlight
		}
	}
	if len(there) == 0 || len(there) > 3 {
		return text + "."
	}
	who := "whose only consumer, "
	verb := "holds"
	if len(there) > 1 {
		who, verb = "whose only consumers, ", "hold"
	}
	return strings.Join([]string{text, who + words.List(there), fmt.Sprintf("%s %s of %s messages in flight.", verb, words.Number(held), words.Number(k.held))}, ", ")
}
