package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/apiclient"
	"qmq/internal/httpapi"
	"qmq/internal/nodeclient"
)

// Limits of one look into a channel.
const (
	defaultPeek   = 20
	maxPeek       = 100
	maxPeekedBody = 64 << 10 // bytes of a body
	peeksOnce     = 2        // looks at a time: each holds all its messages until they are read
	peekWait      = 5 * time.Second
	nodesOnce     = 4 // that are asked at a time for one look
)

var peekStates = []string{"ready", "inflight", "deferred"}

// peekedRow is a message as the page gets it.
type peekedRow struct {
	ID          string `json:"id"`
	Timestamp   int64  `json:"timestamp"`
	TimestampNS string `json:"timestamp_ns"`
	Attempts    int    `json:"attempts"`
	Size        int64  `json:"size"`
	State       string `json:"state"`
	Client      string `json:"client"`
	DeadlineMS  *int64 `json:"deadline_ms"`
	DueMS       *int64 `json:"due_ms"`
	Body        []byte `json:"body"`
	Truncated   bool   `json:"truncated"`
	Node        string `json:"node"`
	Name        string `json:"name"`
	ns          int64
}

type peekNode struct {
	Node      string `json:"node"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Version   string `json:"version"`
	Available bool   `json:"available"`
	OK        bool   `json:"ok"`
	Error     string `json:"error"`
	Count     int    `json:"count"`
}

// peek shows messages of a channel, from all nodes that can.
func (s *Server) peek(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.mayPeek(r); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	p, state := cluster.Pair{Topic: q.Get("topic"), Channel: q.Get("channel")}, cmp.Or(q.Get("state"), "ready")
	if !slices.Contains(peekStates, state) {
		return nil, badRequest("The state must be one of %s.", listOf(peekStates))
	}
	limit, err := strconv.Atoi(cmp.Or(q.Get("limit"), strconv.Itoa(defaultPeek)))
	if err != nil || limit < 1 || limit > maxPeek {
		return nil, badRequest("The limit must be between 1 and %d.", maxPeek)
	}
	targets, total, at := s.peekTargets(r, p, state, q.Get("node"))
	if len(targets) == 0 || p.Channel == "" {
		return nil, notFound(cluster.View{Kind: "channel", Topic: p.Topic, Channel: p.Channel})
	}
	messages, nodes := s.peekAll(r, targets, p, state, limit)
	e := s.entryOf(r, "peek")
	e.Topic, e.Channel, e.Node, e.Name = p.Topic, p.Channel, q.Get("node"), s.nameOf(q.Get("node"))
	e.Result, e.OK = fmt.Sprintf("%d shown", len(messages)), true
	s.activity.add(e)
	return map[string]any{"at": at, "state": state, "messages": messages, "total": total, "nodes": nodes}, nil
}

// fewPeeks lets a few be asked, and sent, at a time; another one waits a while.
func (s *Server) fewPeeks(peek http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.peeks.Enter(r.Context()) {
			s.refuse(w, r, &failure{Status: http.StatusServiceUnavailable, Code: "BUSY", Text: "Others look at messages just now. Try again.", Retry: 5})
			return
		}
		defer s.peeks.Leave()
		peek.ServeHTTP(w, r)
	})
}

// mayPeek refuses those to whom messages are not shown, and says what would
// change that.
func (s *Server) mayPeek(r *http.Request) error {
	p := s.access.who(r)
	switch {
	case p.role == roleStats:
		return &failure{Status: http.StatusForbidden, Code: "FORBIDDEN", Text: "Your role is stats-viewer, which does not see messages."}
	case s.access.login != nil, s.o.Peek, httpapi.Local(r), p.verified && p.name != "":
		return nil
	}
	return &failure{Status: http.StatusForbidden, Code: "PEEK_NOT_ALLOWED", Text: "Messages are shown to people who have signed in (--users-file), on qadmin's own machine, or to everybody with --page-peek."}
}

// peekAll asks the nodes, a few at a time, and keeps the oldest messages only:
// those of all nodes could be a lot of memory.
func (s *Server) peekAll(r *http.Request, targets []cluster.Target, p cluster.Pair, state string, limit int) (messages []peekedRow, nodes []peekNode) {
	messages, nodes = []peekedRow{}, make([]peekNode, len(targets))
	var mu sync.Mutex // guards messages
	slots := make(chan struct{}, nodesOnce)
	var asking sync.WaitGroup
	for i, to := range targets {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var rows []peekedRow
			rows, nodes[i] = s.peekAt(r, to, p, state, limit)
			mu.Lock()
			defer mu.Unlock()
			messages = append(messages, rows...)
			slices.SortStableFunc(messages, func(a, b peekedRow) int { return cmp.Or(cmp.Compare(a.ns, b.ns), cmp.Compare(a.Node, b.Node)) })
			if len(messages) > limit {
				messages = slices.Delete(messages, limit, len(messages))
			}
		})
	}
	asking.Wait()
	return messages, nodes
}

// peekTargets are the nodes to look at, and how many messages there are.
func (s *Server) peekTargets(r *http.Request, p cluster.Pair, state, only string) (targets []cluster.Target, total, at int64) {
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) {
		at = c.UpdatedAt().UnixMilli()
		targets = c.Serving(p)
		if only != "" {
			targets = slices.DeleteFunc(targets, func(to cluster.Target) bool { return to.ID != only })
		}
		total = c.Waiting(p, state)
	})
	return targets, total, at
}

func (s *Server) peekAt(r *http.Request, to cluster.Target, p cluster.Pair, state string, limit int) (rows []peekedRow, n peekNode) {
	n = peekNode{Node: to.ID, Name: to.Name, Kind: to.Kind, Version: to.Version, Available: true}
	messages, err := s.up.nodes.Peek(r.Context(), to.Address, p.Topic, p.Channel, state, limit)
	switch {
	case apiclient.IsStatus(err, http.StatusNotFound) && to.Kind != "qd":
		n.Available = false
		n.Error = fmt.Sprintf("%s %s cannot show messages", to.Kind, to.Version)
		return nil, n
	case apiclient.IsStatus(err, http.StatusForbidden) && strings.Contains(err.Error(), "PEEK_NOT_ALLOWED"):
		n.Error = "shows no messages to qadmin: it needs --http-peek, or --http-auth and a credential here"
		return nil, n
	case err != nil:
		n.Error = reason(err)
		return nil, n
	}
	n.OK, n.Count = true, len(messages)
	for i := range messages {
		rows = append(rows, newPeekedRow(&messages[i], to))
	}
	return rows, n
}

func newPeekedRow(m *nodeclient.Peeked, at cluster.Target) peekedRow {
	row := peekedRow{
		ID: m.ID, Timestamp: m.Timestamp / 1e6, TimestampNS: strconv.FormatInt(m.Timestamp, 10), Attempts: m.Attempts, Size: m.Size, State: m.State,
		Client: m.ClientID, DeadlineMS: m.DeadlineMS, DueMS: m.DueMS, Body: m.Body, Truncated: m.Truncated, Node: at.ID, Name: at.Name, ns: m.Timestamp,
	}
	if len(row.Body) > maxPeekedBody {
		row.Body, row.Truncated = row.Body[:maxPeekedBody], true
	}
	if row.Body == nil {
		row.Body = []byte{}
	}
	return row
}
