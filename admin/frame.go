package admin

import (
	"encoding/json"

	"qmq/admin/cluster"
)

var viewKinds = []string{"overview", "topics", "topic", "channel", "nodes", "node", "sets", "lookup", "counter", "activity"}

// frame is a view at one moment, as the page gets it.
type frame struct {
	At   int64       `json:"at"`
	View string      `json:"view"`
	Full bool        `json:"full"`
	Bar  cluster.Bar `json:"bar"`
	Data any         `json:"data"`
}

// build makes the data of a view; nil if there is no such thing.
func (s *Server) build(c *cluster.Cluster, v cluster.View) any {
	if v.Kind == "activity" {
		return activityView{s.activity.list(), s.started.UnixMilli()}
	}
	return c.Build(v, s.collector.consumers.of(cluster.Pair{Topic: v.Topic, Channel: v.Channel}))
}

type activityView struct {
	Entries []entry `json:"entries"`
	Since   int64   `json:"since"`
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

// encodeRows makes the rows.
func encodeRows(v *cluster.TopicsView) (rowsOf, error) {
	rows := make(rowsOf, len(v.Rows))
	for i := range v.Rows {
		text, err := json.Marshal(&v.Rows[i])
		if err != nil {
			return nil, err
		}
		rows[i] = jsonRow{v.Rows[i].Topic, text}
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
