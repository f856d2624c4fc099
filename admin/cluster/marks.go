package cluster

import (
	"slices"
	"time"
)

// Limits of what is remembered.
const (
	maxMarks = 500
	markAge  = time.Hour
)

// Mark is a moment that charts show.
type Mark struct {
	At             time.Time
	Text, Kind     string
	Node           string
	Topic, Channel string
}

// Mark remembers a moment for charts.
func (c *Cluster) Mark(m Mark) {
	c.marks = append(c.marks, m)
	if len(c.marks) > maxMarks {
		c.marks = slices.Delete(c.marks, 0, len(c.marks)-maxMarks)
	}
}

type markRow struct {
	At   int64  `json:"at"`
	Text string `json:"text"`
	Kind string `json:"kind"`
	Node string `json:"node"`
}

// shownMarks are how many a chart has room for.
const shownMarks = 3

// marksOf are the newest marks that matter to a view.
func (c *Cluster) marksOf(v View, from time.Time) []markRow {
	rows := []markRow{}
	for _, m := range slices.Backward(c.marks) {
		if len(rows) == shownMarks || m.At.Before(from) {
			break
		}
		mine := v.Topic == m.Topic && (v.Channel == "" || m.Channel == "" || v.Channel == m.Channel)
		if m.Kind != "action" {
			mine = (v.Kind != "node" || v.Node == m.Node) && (v.Topic == "" || c.has(m.Node, Pair{v.Topic, v.Channel}))
		} else if v.Kind == "cluster" || v.Kind == "counter" || v.Kind == "node" {
			mine = false
		}
		if mine {
			rows = append(rows, markRow{m.At.UnixMilli(), m.Text, m.Kind, m.Node})
		}
	}
	slices.Reverse(rows)
	return rows
}

// has tells whether a node has a topic, or a channel.
func (c *Cluster) has(node string, p Pair) bool {
	n := c.node(node)
	if n == nil || n.topics[p.Topic] == nil {
		return false
	}
	return p.Channel == "" || n.topics[p.Topic].channels[p.Channel] != nil
}

// marked is a point with the marks of the chart, so that open pages have them at
// once.
func (c *Cluster) marked(point map[string]any, v View) map[string]any {
	point["marks"] = c.marksOf(v, c.now.Add(-markAge))
	return point
}
