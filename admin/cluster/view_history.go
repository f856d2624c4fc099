package cluster

import (
	"time"

	"qmq/admin/words"
)

// HistoryView is a stretch of the history of something. The keys are in the order
// of their names.
type HistoryView struct {
	From   int64              `json:"from"`
	Marks  []markRow          `json:"marks"`
	N      int                `json:"n"`
	Series map[string]Figures `json:"series"`
	StepMS int64              `json:"step_ms"`
}

// HistoryView is the history of what a view is about; nil if there is none.
func (c *Cluster) HistoryView(v View, s Span) *HistoryView {
	h, names := c.historyOf(v)
	if h == nil {
		return nil
	}
	from, rows := h.read(names, s, c.now.Unix())
	return &HistoryView{From: from * 1000, StepMS: s.step * 1000, N: s.n, Series: rows, Marks: c.marksOf(v, time.Unix(from, 0))}
}

// historyOf finds the history of what a view is about; nil if there is none.
func (c *Cluster) historyOf(v View) (history, []string) {
	switch v.Kind {
	case "cluster":
		return c.history, clusterRows
	case "counter":
		return c.counter, counterRows
	case "topic":
		if t := c.topicCalled(v.Topic); t != nil {
			return t.history, topicRows
		}
	case "channel":
		if t := c.topicCalled(v.Topic); t != nil && t.channels[v.Channel] != nil {
			return t.channels[v.Channel].history, channelRows
		}
	case "node":
		if n := c.node(v.Node); n != nil {
			return n.history, clusterRows
		}
	}
	return nil, nil
}

// NamesView are all names that one can look for.
type NamesView struct {
	At       int64       `json:"at"`
	Lookupds []string    `json:"lookupds"`
	Nodes    []namedNode `json:"nodes"`
	Topics   [][2]any    `json:"topics"` // the name and those of the channels
}

type namedNode struct {
	Node string `json:"node"`
	Name string `json:"name"`
}

// Names are all that one can look for.
func (c *Cluster) Names() NamesView {
	v := NamesView{At: c.now.UnixMilli(), Lookupds: []string{}, Nodes: []namedNode{}, Topics: [][2]any{}}
	for _, name := range words.Sorted(c.topics) {
		v.Topics = append(v.Topics, [2]any{name, words.Sorted(c.topics[name].channels)})
	}
	for _, n := range c.order {
		v.Nodes = append(v.Nodes, namedNode{n.id, n.name})
	}
	for _, l := range c.lookupds {
		v.Lookupds = append(v.Lookupds, l.address)
	}
	return v
}

// Sparks are the hours of topics in minutes, of those that there are.
func (c *Cluster) Sparks(topics []string) map[string]Figures {
	sparks := make(map[string]Figures, len(topics))
	for _, name := range topics {
		if t := c.topics[name]; t != nil {
			sparks[name] = t.history[rowPublished].spark(c.now.Unix())
		}
	}
	return sparks
}
