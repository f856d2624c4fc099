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
			mine = v.Kind != "node" || v.Node == m.Node
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
