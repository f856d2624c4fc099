package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/apiclient"
	"qmq/internal/names"
	"qmq/internal/nodeclient"
)

// maxLetters is how many dead letters of a topic are shown of each node.
const maxLetters = 50

// letterRow is a dead letter as the page gets it.
type letterRow struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // when it became one, ms
	Size      int64  `json:"size"`
	Body      []byte `json:"body"`
	Truncated bool   `json:"truncated"`
	Node      string `json:"node"`
	Name      string `json:"name"`

	Topic    string `json:"topic"` // where it comes from
	Channel  string `json:"channel"`
	Attempts int    `json:"attempts"`
	Reason   string `json:"reason"`
	Ended    int64  `json:"ended"` // when its last delivery ended, ms
}

// deadLetters shows what a topic has of dead letters, from all nodes that can.
func (s *Server) deadLetters(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.mayPeek(r); err != nil {
		return nil, err
	}
	topic := r.URL.Query().Get("topic")
	targets := s.letterTargets(r, topic)
	if len(targets) == 0 {
		return nil, notFound(cluster.View{Kind: "topic", Topic: topic})
	}
	letters, nodes, more := []letterRow{}, make([]peekNode, len(targets)), false
	for i, to := range targets {
		list, next, err := s.up.nodes.DeadLetters(r.Context(), to.Address, topic, "", maxLetters)
		nodes[i] = letterNode(to, len(list), err)
		more = more || next != ""
		for j := range list {
			letters = append(letters, newLetterRow(&list[j], to))
		}
	}
	slices.SortStableFunc(letters, func(a, b letterRow) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	e := s.entryOf(r, "peek")
	e.Topic, e.Result, e.OK = topic, fmt.Sprintf("%d shown", len(letters)), true
	s.activity.add(e)
	return map[string]any{"letters": letters, "nodes": nodes, "more": more}, nil
}

// letterTargets are the nodes that have dead letters of a topic.
func (s *Server) letterTargets(r *http.Request, topic string) (targets []cluster.Target) {
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) { targets = c.Serving(cluster.Pair{Topic: topic}) })
	return targets
}

func letterNode(to cluster.Target, count int, err error) peekNode {
	n := peekNode{Node: to.ID, Name: to.Name, Kind: to.Kind, Version: to.Version, Available: true, OK: err == nil, Count: count}
	switch {
	case err == nil:
	case apiclient.IsStatus(err, http.StatusNotFound) && to.Kind != "qd":
		n.Available, n.Error = false, fmt.Sprintf("%s %s has no dead letters", to.Kind, to.Version)
	case apiclient.IsStatus(err, http.StatusForbidden) && strings.Contains(err.Error(), "PEEK_NOT_ALLOWED"):
		n.Error = "shows no messages to qadmin: it needs --http-peek, or --http-auth and a credential here"
	default:
		n.Error = reason(err)
	}
	return n
}

func newLetterRow(m *nodeclient.DeadLetter, at cluster.Target) letterRow {
	row := letterRow{
		ID: m.ID, Timestamp: m.Timestamp / 1e6, Size: m.Size, Body: m.Body, Truncated: m.Truncated, Node: at.ID, Name: at.Name,
		Topic: m.Origin.Topic, Channel: m.Origin.Channel, Attempts: m.Origin.Attempts, Reason: m.Origin.Reason, Ended: m.Origin.Time,
	}
	if row.Body == nil {
		row.Body = []byte{}
	}
	return row
}

// putBack puts one dead letter of a topic, or all, back where they came from.
func (s *Server) putBack(_ http.ResponseWriter, r *http.Request) (any, error) {
	var wanted struct {
		Topic string `json:"topic"`
		Node  string `json:"node"` // of the one
		ID    string `json:"id"`   // empty: all
		All   bool   `json:"all"`
	}
	if err := readPageBody(r, maxOrder, &wanted); err != nil {
		return nil, err
	}
	switch {
	case !names.Valid(wanted.Topic):
		return nil, badRequest("%q is no valid name of a topic.", words.Shorten(wanted.Topic))
	case wanted.All == (wanted.ID != ""):
		return nil, badRequest("Either the id of a dead letter, or all, says what is put back.")
	}
	targets := slices.DeleteFunc(s.letterTargets(r, wanted.Topic), func(to cluster.Target) bool { return wanted.Node != "" && to.ID != wanted.Node })
	if len(targets) == 0 {
		return nil, notFound(cluster.View{Kind: "topic", Topic: wanted.Topic})
	}
	done, left, failed := 0, map[string]int{}, []string{}
	for _, to := range targets {
		p, err := s.up.nodes.PutBack(r.Context(), to.Address, wanted.Topic, wanted.ID)
		done += p.Done
		for why, n := range p.Left {
			left[why] += n
		}
		if err != nil && (wanted.All || wanted.Node != "" || !apiclient.IsStatus(err, http.StatusNotFound)) {
			failed = append(failed, words.ShortName(to.Name)+": "+reason(err))
		}
	}
	for _, why := range slices.Sorted(maps.Keys(left)) {
		failed = append(failed, fmt.Sprintf("%d left: %s", left[why], why))
	}
	if done == 0 && wanted.ID != "" && len(failed) == 0 {
		failed = append(failed, "it is no dead letter any more")
	}
	e := s.entryOf(r, "put_back")
	e.Topic, e.Node, e.Name = wanted.Topic, wanted.Node, s.nameOf(wanted.Node)
	e.Result, e.OK = strings.Join(append([]string{fmt.Sprintf("%d put back", done)}, failed...), "; "), len(failed) == 0
	s.activity.add(e)
	return map[string]any{"ok": e.OK, "put_back": done, "problems": failed}, nil
}
