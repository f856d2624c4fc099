package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/nodeclient"
)

// settingRow is a setting of a topic or channel, as the nodes that have it know it.
type settingRow struct {
	Name    string         `json:"name"`
	Allowed string         `json:"allowed"` // what it may be
	Values  []settingValue `json:"values"`  // what is in force, that of most nodes first
}

// settingValue is what is in force on some nodes.
type settingValue struct {
	Value   json.RawMessage `json:"value"`
	From    string          `json:"from"`              // set: here, while the node runs; pattern; default
	Pattern string          `json:"pattern,omitempty"` // of the nodes' TOML files
	Nodes   []string        `json:"nodes"`             // their names
}

// settingNode is a node that was asked for settings.
type settingNode struct {
	Node  string `json:"node"`
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error"`
	Door  bool   `json:"door"` // it is asked for changes: others have them from it
}

// topicSettings is GET config?topic=&channel=: which settings of a topic or channel are in
// force, and where they come from, on all nodes that have it and answer.
func (s *Server) topicSettings(_ http.ResponseWriter, r *http.Request) (any, error) {
	p := cluster.Pair{Topic: r.URL.Query().Get("topic"), Channel: r.URL.Query().Get("channel")}
	kind := "topic"
	if p.Channel != "" {
		kind = "channel"
	}
	var targets, doors []cluster.Target
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) { targets, doors = c.Having(p), c.Doors(p) })
	if len(targets) == 0 {
		return nil, notFound(cluster.View{Kind: kind, Topic: p.Topic, Channel: p.Channel})
	}
	answers, nodes := s.askSettings(r.Context(), kind, p, targets)
	unmet := []string{}
	for i := range nodes {
		nodes[i].Door = slices.ContainsFunc(doors, func(to cluster.Target) bool { return to.ID == nodes[i].Node })
		if answers[i] == nil {
			continue
		}
		for _, text := range answers[i].Unmet {
			if !slices.Contains(unmet, text) {
				unmet = append(unmet, text)
			}
		}
	}
	return map[string]any{"settings": settingRows(answers, nodes), "nodes": nodes, "unmet": unmet, "at": time.Now().UnixMilli()}, nil
}

// askSettings asks nodes for settings, all at once. One that gave no answer to the last
// question is not asked, nor is nsqd. An answer that did not come is nil.
func (s *Server) askSettings(ctx context.Context, kind string, p cluster.Pair, targets []cluster.Target) ([]*nodeclient.Config, []settingNode) {
	answers, nodes := make([]*nodeclient.Config, len(targets)), make([]settingNode, len(targets))
	var errands []errand
	var asked []int
	for i, to := range targets {
		nodes[i] = settingNode{Node: to.ID, Name: to.Name}
		switch {
		case to.Missed:
			nodes[i].Error = "gives no answer"
			continue
		case to.Kind == "nsqd":
			nodes[i].Error = nsqdUnable(to, noSettings(kind))
			continue
		}
		asked = append(asked, i)
		errands = append(errands, errand{"node", to.ID, to.Name, func(ctx context.Context) (err error) {
			answers[i], err = s.up.nodes.Configure(ctx, to.Address, kind, p.Topic, p.Channel, nil)
			return err
		}, nil})
	}
	for i, result := range run(ctx, errands) {
		n := &nodes[asked[i]]
		n.OK, n.Error = result.OK, clientProblem(targets[asked[i]], result.err)
	}
	return answers, nodes
}

// settingRows lays beside one another what nodes answered, in the order in which they name
// the settings.
func settingRows(answers []*nodeclient.Config, nodes []settingNode) []settingRow {
	rows, at := []settingRow{}, make(map[string]int)
	for i, a := range answers {
		if a == nil {
			continue
		}
		for _, known := range knownSettings(a) {
			value, inForce := a.Config[known.Name]
			if !inForce {
				continue // it does not apply there
			}
			if _, ok := at[known.Name]; !ok {
				at[known.Name] = len(rows)
				rows = append(rows, settingRow{Name: known.Name, Allowed: known.Allowed})
			}
			rows[at[known.Name]].add(settingValue{Value: value, From: originOf(a, known.Name), Pattern: patternOf(a, known.Name)}, nodes[i].Name)
		}
	}
	for i := range rows {
		slices.SortStableFunc(rows[i].Values, func(a, b settingValue) int { return len(b.Nodes) - len(a.Nodes) })
	}
	return rows
}

// knownSettings are those that a node knows.
func knownSettings(a *nodeclient.Config) []nodeclient.Setting {
	if len(a.Settings) > 0 {
		return a.Settings
	}
	var list []nodeclient.Setting // a node of an older version does not say what they may be
	for _, name := range slices.Sorted(maps.Keys(a.Config)) {
		list = append(list, nodeclient.Setting{Name: name})
	}
	return list
}

func originOf(a *nodeclient.Config, name string) string {
	if _, set := a.Set[name]; set {
		return "set"
	}
	if a.Patterns[name] != "" {
		return "pattern"
	}
	return "default"
}

// patternOf is the pattern that says what is in force; empty where none does.
func patternOf(a *nodeclient.Config, name string) string {
	if _, set := a.Set[name]; set {
		return ""
	}
	return a.Patterns[name]
}

// add adds what is in force on a node.
func (r *settingRow) add(v settingValue, node string) {
	for i := range r.Values {
		if is := &r.Values[i]; bytes.Equal(is.Value, v.Value) && is.From == v.From && is.Pattern == v.Pattern {
			is.Nodes = append(is.Nodes, node)
			return
		}
	}
	v.Nodes = []string{node}
	r.Values = append(r.Values, v)
}
