package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/apiclient"
	"qmq/internal/httpapi"
	"qmq/internal/nodeclient"
	"qmq/message"
)

// Limits of one look at messages.
const (
	defaultPeek   = 20
	maxPeek       = 100
	maxContains   = 256      // bytes
	maxPeekedBody = 64 << 10 // bytes of a body
	maxPeekBytes  = 16 << 20 // of the bodies of one answer
	peeksOnce     = 2        // looks at a time: each holds all its messages until they are read
	peekWait      = 5 * time.Second
	nodesOnce     = 4 // that are asked at a time for one look
)

var (
	peekStates = []string{"ready", "inflight", "deferred", "spent"}
	peekOrders = []string{"turn", "oldest", "newest"}
)

// peekedRow is a message as the page gets it.
type peekedRow struct {
	ID          string                `json:"id"`
	Seq         string                `json:"seq"` // its number; too large for a number of JavaScript
	Timestamp   int64                 `json:"timestamp"`
	TimestampNS string                `json:"timestamp_ns"`
	Attempts    int                   `json:"attempts"`
	Size        int64                 `json:"size"`
	State       string                `json:"state"` // of a topic's message that no channel has yet: waiting
	Client      string                `json:"client"`
	DeadlineMS  *int64                `json:"deadline_ms"`
	DueMS       *int64                `json:"due_ms"`
	DueAt       int64                 `json:"due_at,omitempty"`
	Body        []byte                `json:"body"`
	Truncated   bool                  `json:"truncated"`
	Node        string                `json:"node"`
	Name        string                `json:"name"`
	Headers     []message.ShownHeader `json:"headers,omitempty"` // key and value, or value_base64; also the message's key and priority
	seq         uint64
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
	Scanned   int64  `json:"scanned"`
	// Next is the number at which the next page begins on this node; empty: nothing is left.
	Next string `json:"next"`
	next uint64
}

// peekWish is what somebody wants to see.
type peekWish struct {
	nodeclient.Look
	node string
	at   map[string]uint64 // where a next page begins, by node; those that are missing have none
}

// peekWishOf reads the parameters of a look.
func peekWishOf(q url.Values) (w peekWish, err error) {
	w.Topic, w.Channel, w.State, w.node = q.Get("topic"), q.Get("channel"), cmp.Or(q.Get("state"), "ready"), q.Get("node")
	w.Order, w.Contains = cmp.Or(q.Get("order"), "turn"), q.Get("contains")
	if !slices.Contains(peekStates, w.State) {
		return w, badRequest("The state must be one of %s.", listOf(peekStates))
	}
	if !slices.Contains(peekOrders, w.Order) {
		return w, badRequest("The order must be one of %s.", listOf(peekOrders))
	}
	if w.Limit, err = strconv.Atoi(cmp.Or(q.Get("limit"), strconv.Itoa(defaultPeek))); err != nil || w.Limit < 1 || w.Limit > maxPeek {
		return w, badRequest("The limit must be between 1 and %d.", maxPeek)
	}
	if text := q.Get("from"); text != "" {
		if w.From, err = strconv.ParseUint(text, 10, 54); err != nil {
			return w, badRequest("The number of a message must be a whole number.")
		}
	}
	w.Since = q.Get("since") // which nodes judge
	if len(w.Contains) > maxContains {
		return w, badRequest("At most %d bytes can be searched for.", maxContains)
	}
	if w.Order == "turn" && (w.From != 0 || w.Since != "" || w.Contains != "" || w.Channel == "") {
		w.Order = "oldest"
	}
	if w.Since != "" && (w.Order == "newest" || w.From != 0) {
		return w, badRequest("A time goes with the oldest first, and with no number.")
	}
	for _, text := range q["at"] {
		node, number, _ := strings.Cut(text, "|")
		seq, err := strconv.ParseUint(number, 10, 54)
		if err != nil {
			return w, badRequest("The place of the next page is not understood.")
		}
		if w.at == nil {
			w.at = make(map[string]uint64)
		}
		w.at[node] = seq
	}
	return w, nil
}

// peek shows messages of a channel, or of a topic without a channel, from all nodes that
// can.
func (s *Server) peek(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.mayPeek(r); err != nil {
		return nil, err
	}
	w, err := peekWishOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	p := cluster.Pair{Topic: w.Topic, Channel: w.Channel}
	targets, total, at := s.peekTargets(r, p, &w)
	if len(targets) == 0 {
		return nil, notFound(cluster.View{Kind: map[bool]string{true: "topic", false: "channel"}[p.Channel == ""], Topic: p.Topic, Channel: p.Channel})
	}
	messages, nodes := s.peekAll(r, targets, &w)
	e := s.entryOf(r, "peek")
	e.Topic, e.Channel, e.Node, e.Name = p.Topic, p.Channel, w.node, s.nameOf(w.node)
	e.Result, e.OK = fmt.Sprintf("%d shown", len(messages)), true
	s.activity.add(e)
	more := slices.ContainsFunc(nodes, func(n peekNode) bool { return n.Next != "" })
	return map[string]any{"at": at, "state": w.State, "order": w.Order, "messages": messages, "total": total, "more": more, "nodes": nodes}, nil
}

// fewPeeks lets a few be asked, and sent, at a time; another one waits a while.
func (s *Server) fewPeeks(peek http.Handler) http.Handler { return s.few(s.peeks, "messages", peek) }

// few lets as many look at something at a time as there are slots.
func (s *Server) few(slots *httpapi.Slots, what string, look http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slots.Enter(r.Context()) {
			s.refuse(w, r, &failure{Status: http.StatusServiceUnavailable, Code: "BUSY", Text: "Others look at " + what + " just now. Try again.", Retry: 5})
			return
		}
		defer slots.Leave()
		look.ServeHTTP(w, r)
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

// peekAll asks the nodes, a few at a time, and keeps the messages only that come first:
// those of all nodes could be a lot of memory.
func (s *Server) peekAll(r *http.Request, targets []cluster.Target, w *peekWish) (messages []peekedRow, nodes []peekNode) {
	messages, nodes = []peekedRow{}, make([]peekNode, len(targets))
	var mu sync.Mutex // guards messages
	slots := make(chan struct{}, nodesOnce)
	var asking sync.WaitGroup
	for i, to := range targets {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var rows []peekedRow
			rows, nodes[i] = s.peekAt(r, to, w)
			mu.Lock()
			defer mu.Unlock()
			messages = first(append(messages, rows...), w)
		})
	}
	asking.Wait()
	turnPages(messages, nodes, w)
	return messages, nodes
}

// first keeps the messages that come first: by the times of their publishes, and of each
// node in the node's order.
func first(messages []peekedRow, w *peekWish) []peekedRow {
	sign := 1
	if w.Order == "newest" {
		sign = -1
	}
	slices.SortStableFunc(messages, func(a, b peekedRow) int {
		if a.Node == b.Node && w.Order != "turn" {
			return sign * cmp.Compare(a.seq, b.seq)
		}
		return cmp.Or(sign*cmp.Compare(a.ns, b.ns), cmp.Compare(a.Node, b.Node))
	})
	if len(messages) > w.Limit {
		messages = slices.Delete(messages, w.Limit, len(messages))
	}
	sum := 0
	for i := range messages {
		if sum += len(messages[i].Body); sum > maxPeekBytes {
			return slices.Delete(messages, i, len(messages))
		}
	}
	return messages
}

// turnPages says of each node where the next page begins: behind what is shown of it, also
// where more was read.
func turnPages(messages []peekedRow, nodes []peekNode, w *peekWish) {
	if w.Order == "turn" {
		return
	}
	for i := range nodes {
		n := &nodes[i]
		shown, last := 0, uint64(0)
		for j := range messages {
			if messages[j].Node == n.Node {
				shown, last = shown+1, messages[j].seq
			}
		}
		switch {
		case shown == n.Count: // all that was read of it
		case shown == 0:
			n.next = n.begin(w)
		case w.Order == "newest":
			n.next = last - 1
		default:
			n.next = last + 1
		}
		if n.Count = shown; n.next != 0 {
			n.Next = strconv.FormatUint(n.next, 10)
		}
	}
}

// begin is where the look at a node began; of one that began at an end, that end.
func (n *peekNode) begin(w *peekWish) uint64 {
	switch {
	case w.at != nil:
		return w.at[n.Node]
	case w.From != 0:
		return w.From
	case w.Order == "newest":
		return 1<<54 - 1
	}
	return 1
}

// peekTargets are the nodes to look at, and how many messages there are.
func (s *Server) peekTargets(r *http.Request, p cluster.Pair, w *peekWish) (targets []cluster.Target, total, at int64) {
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) {
		at = c.UpdatedAt().UnixMilli()
		targets = slices.DeleteFunc(c.Serving(p), func(to cluster.Target) bool {
			_, more := w.at[to.ID]
			return w.node != "" && to.ID != w.node || w.at != nil && !more
		})
		total = c.Waiting(p, w.State)
	})
	return targets, total, at
}

func (s *Server) peekAt(r *http.Request, to cluster.Target, w *peekWish) (rows []peekedRow, n peekNode) {
	n = peekNode{Node: to.ID, Name: to.Name, Kind: to.Kind, Version: to.Version, Available: true}
	look := w.Look
	if w.at != nil {
		look.From, look.Since = w.at[to.ID], ""
	}
	if look.Order == "turn" {
		look.Order = ""
	}
	looked, err := s.up.nodes.Look(r.Context(), to.Address, look)
	switch {
	case apiclient.IsStatus(err, http.StatusNotFound) && to.Kind != "qd":
		n.Available = false
		n.Error = fmt.Sprintf("%s %s cannot show messages", to.Kind, to.Version)
		return nil, n
	case apiclient.IsStatus(err, http.StatusForbidden) && strings.Contains(err.Error(), "PEEK_NOT_ALLOWED"):
		n.Error = "shows no messages to qadmin: it needs --http-peek, or --http-auth and a credential here"
		return nil, n
	case err != nil:
		n.Error = reason(explained(err))
		return nil, n
	}
	n.OK, n.Count, n.Scanned, n.next = true, len(looked.Messages), looked.Scanned, looked.Next
	for i := range looked.Messages {
		row := newPeekedRow(&looked.Messages[i], to)
		if w.Channel == "" && row.seq >= looked.FanOut {
			row.State = "waiting"
		}
		rows = append(rows, row)
	}
	return rows, n
}

func newPeekedRow(m *nodeclient.Peeked, at cluster.Target) peekedRow {
	row := peekedRow{
		ID: m.ID, Timestamp: m.Timestamp / 1e6, TimestampNS: strconv.FormatInt(m.Timestamp, 10), Attempts: m.Attempts, Size: m.Size, State: m.State,
		Client: m.ClientID, DeadlineMS: m.DeadlineMS, DueMS: m.DueMS, DueAt: m.DueAt, Body: m.Body, Truncated: m.Truncated, Node: at.ID, Name: at.Name,
		Headers: m.Headers, seq: m.Seq, ns: m.Timestamp,
	}
	row.Seq = strconv.FormatUint(row.seq, 10)
	if len(row.Body) > maxPeekedBody {
		row.Body, row.Truncated = row.Body[:maxPeekedBody], true
	}
	if row.Body == nil {
		row.Body = []byte{}
	}
	return row
}
