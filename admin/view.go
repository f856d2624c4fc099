package admin

import (
	"encoding/json"
	"time"
)

// view is what somebody looks at.
type view struct {
	kind, topic, channel, node string
}

// frame is a view at one moment, as the page gets it.
type frame struct {
	At   int64  `json:"at"`
	View string `json:"view"`
	Full bool   `json:"full"`
	Bar  bar    `json:"bar"`
	Data any    `json:"data"`
}

// bar is what every page shows.
type bar struct {
	Cluster           string       `json:"cluster"`
	Attention         int          `json:"attention"`
	Level             level        `json:"level"`
	Nodes             int          `json:"nodes"`
	Answering         int          `json:"answering"`
	Silent            []silentNode `json:"silent"`
	Lookupds          int          `json:"lookupds"`
	LookupdsAnswering int          `json:"lookupds_answering"`
}

type silentNode struct {
	Node  string `json:"node"`
	Name  string `json:"name"`
	Since *int64 `json:"since"`
	Error string `json:"error"`
}

// millis of a time that may not have been.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func (c *cluster) bar(name string) bar {
	b := bar{Cluster: name, Attention: len(c.watch.open), Level: c.watch.levelOf(func(*line) bool { return true }), Nodes: len(c.order), Silent: []silentNode{}, Lookupds: len(c.lookupds)}
	for _, n := range c.order {
		if n.fresh(c.now) {
			b.Answering++
		} else {
			b.Silent = append(b.Silent, silentNode{n.id, n.name, millis(n.at), n.problem})
		}
	}
	for _, l := range c.lookupds {
		if l.asked > 0 && l.missed < missedPolls {
			b.LookupdsAnswering++
		}
	}
	return b
}

// rate is one that is unknown until two answers can be compared.
func rate(known bool, r float64) figure {
	if !known {
		return unknown
	}
	return figure(r)
}

// lines are copies of attention lines with their sparklines: the watch goes on
// changing its own.
func (c *cluster) lines(open []*line) []line {
	list := make([]line, len(open))
	for i, l := range open {
		list[i] = *l
		list[i].Spark = c.lineSpark(l)
	}
	return list
}

func (c *cluster) lineSpark(l *line) figures {
	t := c.topics[l.Topic]
	if t == nil || l.Topic == "" {
		return nil
	}
	if l.Channel == "" {
		return t.history[3].spark(c.now.Unix())
	}
	ch := t.channels[l.Channel]
	if ch == nil {
		return nil
	}
	if l.Rule == "timeouts" {
		return ch.history[channelTimedOut].spark(c.now.Unix())
	}
	return ch.history[channelDepth].spark(c.now.Unix())
}

// build makes the data of a view; nil if there is no such thing.
func (s *Server) build(c *cluster, v view) any {
	switch v.kind {
	case "overview":
		return s.overview(c)
	case "topics":
		return c.topicsView()
	case "topic":
		if t := c.topicCalled(v.topic); t != nil {
			return c.topicView(t)
		}
	case "channel":
		if t := c.topicCalled(v.topic); t != nil && t.channels[v.channel] != nil {
			return c.channelView(t, t.channels[v.channel], s.collector.crowd)
		}
	case "nodes":
		return c.nodesView()
	case "node":
		if n := c.node(v.node); n != nil {
			return c.nodeView(n)
		}
	case "lookup":
		return c.lookupView()
	case "counter":
		return c.counterView()
	case "activity":
		return activityView{s.activity.list(), s.started.UnixMilli()}
	}
	return nil
}

var viewKinds = []string{"overview", "topics", "topic", "channel", "nodes", "node", "lookup", "counter", "activity"}

type activityView struct {
	Entries []entry `json:"entries"`
	Since   int64   `json:"since"`
}

// topicsView is sent row by row: see [rowCache].
type topicsView struct {
	rows    []topicRow
	Without []string
}

// rowsOf are JSON rows by the topic's name.
type rowsOf []jsonRow

type jsonRow struct {
	topic string
	json  []byte
}

// topicsData is what the page gets of the view of topics.
type topicsData struct {
	Rows    []json.RawMessage `json:"rows"`
	Gone    []string          `json:"gone"`
	Without []string          `json:"without"`
}

// encode makes the rows.
func (v *topicsView) encode() (rowsOf, error) {
	rows := make(rowsOf, len(v.rows))
	for i := range v.rows {
		text, err := json.Marshal(&v.rows[i])
		if err != nil {
			return nil, err
		}
		rows[i] = jsonRow{v.rows[i].Topic, text}
	}
	return rows, nil
}

// since lists what is new or different compared to before, and what has gone.
// Both are sorted by name.
func (rows rowsOf) since(before rowsOf) (changed []json.RawMessage, gone []string) {
	changed, gone = []json.RawMessage{}, []string{}
	i := 0
	for _, row := range rows {
		for ; i < len(before) && before[i].topic < row.topic; i++ {
			gone = append(gone, before[i].topic)
		}
		if i < len(before) && before[i].topic == row.topic {
			if string(before[i].json) != string(row.json) {
				changed = append(changed, row.json)
			}
			i++
			continue
		}
		changed = append(changed, row.json)
	}
	for ; i < len(before); i++ {
		gone = append(gone, before[i].topic)
	}
	return changed, gone
}
