package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"qmq/admin/words"
)

// OverviewView is the first page.
type OverviewView struct {
	Verdict struct {
		Count int    `json:"count"`
		Title string `json:"title"`
		Sub   string `json:"sub"`
	} `json:"verdict"`
	Totals    overviewTotals     `json:"totals"`
	Sparks    map[string]Figures `json:"sparks"`
	Attention []Alert            `json:"attention"`
	Over      []Alert            `json:"attention_over"`
	Normal    struct {
		Channels int `json:"channels"`
		Nodes    int `json:"nodes"`
		Damaged  int `json:"damaged"` // of the nodes
	} `json:"normal"`
	Nodes    []overviewNode    `json:"nodes"`
	Lookupds []overviewLookupd `json:"lookupds"`
	Busiest  []TopicRow        `json:"busiest"`
	Point    map[string]any    `json:"point"`
	Start    *firstSteps       `json:"start"`
}

type overviewTotals struct {
	Depth            int64       `json:"depth"`
	BackendDepth     int64       `json:"backend_depth"`
	InFlight         int64       `json:"in_flight"`
	Ready            *int64      `json:"ready"`
	Deferred         int64       `json:"deferred"`
	DeferredChannels int64       `json:"deferred_channels"`
	PubRate          Figure      `json:"pub_rate"`
	ByteRate         Figure      `json:"byte_rate"`
	DeliverRate      Figure      `json:"deliver_rate"`
	Consumers        int64       `json:"consumers"`
	RequeueMin       Figure      `json:"requeue_min"`
	RequeueShare     Share       `json:"requeue_share"`
	TimeoutMin       Figure      `json:"timeout_min"`
	TimeoutShare     Share       `json:"timeout_share"`
	TimeoutTop       *topTimeout `json:"timeout_top"`
	Topics           int         `json:"topics"`
	Channels         int         `json:"channels"`
	Without          []string    `json:"without"`
}

type topTimeout struct {
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	Share   Share  `json:"share"`
}

type overviewNode struct {
	Node    string `json:"node"`
	Name    string `json:"name"`
	Zone    string `json:"zone"`
	State   Level  `json:"state"`
	Damaged bool   `json:"damaged"` // it found damage that nobody acknowledged
	Stale   bool   `json:"stale"`
	Seen    *int64 `json:"seen"`
	Depth   int64  `json:"depth"`
	PubRate Figure `json:"pub_rate"`
	Error   string `json:"error"`
}

type overviewLookupd struct {
	Address string `json:"address"`
	State   Level  `json:"state"`
	Topics  int    `json:"topics"`
}

// firstSteps are for a cluster of which nobody has read a message.
type firstSteps struct {
	Node struct {
		Name    string `json:"name"`
		TCP     string `json:"tcp"`
		HTTP    string `json:"http"`
		Version string `json:"version"`
		Kind    string `json:"kind"`
	} `json:"node"`
	Lookupd string `json:"lookupd"`
	Topic   string `json:"topic"`   // the first one, if there is one already
	Waiting int64  `json:"waiting"` // messages in it
}

const busiestTopics = 8

// Overview is the first page.
func (c *Cluster) Overview() *OverviewView {
	v := &OverviewView{Totals: c.totals(), Sparks: make(map[string]Figures), Attention: c.alertRows(c.alerts.open), Over: c.alertRows(c.overToday()), Busiest: []TopicRow{}, Nodes: []overviewNode{}, Lookupds: []overviewLookupd{}}
	v.Verdict.Count = len(v.Attention)
	v.Verdict.Title, v.Verdict.Sub = c.verdict()
	second := c.now.Unix()
	for i, name := range clusterRows {
		v.Sparks[name] = c.history[i].spark(second)
	}
	v.Point = c.marked(c.history.point(clusterRows, c.now), View{Kind: "cluster"})
	ill := make(map[Pair]bool)
	for _, l := range c.alerts.open {
		if l.Channel != "" {
			ill[Pair{l.Topic, l.Channel}] = true
		}
	}
	v.Normal.Channels = v.Totals.Channels - len(ill)
	for _, n := range c.order {
		state := c.stateOf(n)
		if state == levelOK {
			v.Normal.Nodes++
			if n.damage != nil {
				v.Normal.Damaged++
			}
		}
		v.Nodes = append(v.Nodes, overviewNode{
			Node: n.id, Name: n.name, Zone: n.zone, State: state, Damaged: n.damage != nil, Stale: !n.fresh(c.now), Seen: millis(n.at),
			Depth: n.sums.depth, PubRate: c.nodeRate(n, rowPublished), Error: n.problem,
		})
	}
	for _, l := range c.lookupdRows() {
		v.Lookupds = append(v.Lookupds, overviewLookupd{l.Address, l.State, l.Topics})
	}
	v.Busiest = c.busiest()
	v.Start = c.firstSteps()
	return v
}

func (c *Cluster) totals() overviewTotals {
	s := &c.sums
	t := overviewTotals{
		Depth: s.depth, BackendDepth: s.backend, InFlight: s.inFlight, Deferred: s.deferred, Consumers: s.consumers,
		PubRate: c.history[rowPublished].recent(5), ByteRate: rate(c.rated, s.bytes), DeliverRate: c.history[rowDelivered].recent(5),
		RequeueMin: c.history[rowRequeued].recent(60), TimeoutMin: c.history[rowTimedOut].recent(60), Topics: len(c.topics), Without: c.without(),
	}
	if c.tellsReady() {
		t.Ready = &s.ready
	}
	perMinute := 60 * float64(c.history[rowDelivered].recent(60))
	t.RequeueShare, t.TimeoutShare = shareOf(float64(t.RequeueMin), perMinute), shareOf(float64(t.TimeoutMin), perMinute)
	var top *channelTotal
	most := 0.0
	for _, topic := range c.topics {
		t.Channels += len(topic.channels)
		for _, ch := range topic.channels {
			if ch.sums.deferred > 0 {
				t.DeferredChannels++
			}
			if timeouts := float64(ch.history[channelTimedOut].recent(60)); timeouts > most {
				top, most = ch, timeouts
			}
		}
	}
	if top != nil {
		t.TimeoutTop = &topTimeout{top.pair.Topic, top.pair.Channel, shareOf(most, float64(t.TimeoutMin))}
	}
	return t
}

// tellsReady tells whether all nodes that are counted say what their consumers are ready
// for. nsqd says so only of each consumer, for which it is not asked all the time.
func (c *Cluster) tellsReady() bool {
	counted := false
	for _, n := range c.order {
		if n.fresh(c.now) {
			if n.kind() != "qd" {
				return false
			}
			counted = true
		}
	}
	return counted
}

// verdict is the answer to whether anything is wrong, in words.
func (c *Cluster) verdict() (title, sub string) {
	open := c.alerts.open
	switch len(open) {
	case 0:
		title = "Nothing needs attention"
		if len(c.alerts.past) > 0 {
			last := c.alerts.past[0]
			sub = fmt.Sprintf("Quiet for %s. Last: %s, over at %s.", words.Duration(c.now.Sub(last.over)), last.Subject(), words.Time(last.over))
		}
		return title, sub
	case 1:
		title = "1 thing needs attention"
	default:
		title = fmt.Sprintf("%d things need attention", len(open))
	}
	newest := slices.MaxFunc(open, func(a, b *Alert) int { return a.since.Compare(b.since) })
	sub = fmt.Sprintf("Newest: %s, since %s.", newest.Subject(), words.Time(newest.since))
	if quiet := c.now.Sub(c.alerts.began); quiet >= time.Minute {
		sub += fmt.Sprintf(" Nothing new for %s.", words.Duration(quiet))
	}
	return title, sub
}

// Subject is what a line is about, for people.
func (l *Alert) Subject() string {
	if l.Topic != "" {
		return Pair{l.Topic, l.Channel}.String()
	}
	return cmp.Or(l.Name, l.Node, l.Lookupd)
}

func (c *Cluster) overToday() []*Alert {
	y, m, d := c.now.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, c.now.Location())
	var today []*Alert
	for _, l := range c.alerts.past {
		if !l.over.Before(midnight) {
			today = append(today, l)
		}
	}
	return today
}

func (c *Cluster) busiest() []TopicRow {
	type ranked struct {
		t    *topicTotal
		rate float64
	}
	all := make([]ranked, 0, len(c.topics))
	for _, t := range c.topics {
		all = append(all, ranked{t, orZero(t.history[rowPublished].recent(60))})
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(b.t.sums.messages, a.t.sums.messages), cmp.Compare(a.t.name, b.t.name))
	})
	levels := c.alerts.levels()
	rows := []TopicRow{}
	for _, r := range all[:min(len(all), busiestTopics)] {
		row := r.t.row(levels)
		row.Spark = r.t.history[rowPublished].spark(c.now.Unix())
		rows = append(rows, row)
	}
	return rows
}

func orZero(f Figure) float64 {
	if !f.known() {
		return 0
	}
	return float64(f)
}

func (c *Cluster) firstSteps() *firstSteps {
	topic, waiting, ok := c.firstTopic()
	if !ok {
		return nil
	}
	for _, n := range c.order {
		if !n.fresh(c.now) {
			continue
		}
		start := &firstSteps{Topic: topic, Waiting: waiting}
		start.Node.Name, start.Node.TCP, start.Node.HTTP, start.Node.Version, start.Node.Kind = n.name, n.tcp, n.address, n.version, n.kind()
		if len(c.lookupds) > 0 {
			start.Lookupd = c.lookupds[0].address
		}
		return start
	}
	return nil
}

// maxFirst is how many messages a first try may have published.
const maxFirst = 10

// firstTopic is the only topic, with a message or a few of which none was read, or
// empty if there is no topic. Not ok: there is more than that, or something needs
// attention.
func (c *Cluster) firstTopic() (name string, waiting int64, ok bool) {
	if len(c.topics) > 1 {
		return "", 0, false
	}
	for _, t := range c.topics {
		s := &t.sums
		if s.messages == 0 || s.messages > maxFirst || len(c.alerts.open) > 0 || s.consumers > 0 || s.requeues > 0 || s.timeouts > 0 || s.held() < s.messages {
			return "", 0, false
		}
		return t.name, s.held(), true
	}
	return "", 0, true
}
