package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/nodeclient"
)

// maxConnections are shown of one kind.
const maxConnections = 1000

// connectionRow is a client as the page gets it.
type connectionRow struct {
	ID          string `json:"id"`
	Hostname    string `json:"hostname"`
	Address     string `json:"address"`
	Agent       string `json:"agent"`
	Node        string `json:"node"`
	Name        string `json:"name"`
	Topic       string `json:"topic"`
	Channel     string `json:"channel"` // empty: it publishes
	Ready       int64  `json:"ready"`
	InFlight    int64  `json:"in_flight"`
	Messages    int64  `json:"messages"` // delivered to it, or published by it to the topic
	TLS         string `json:"tls"`
	Compression string `json:"compression"`
	Identity    string `json:"identity"`
	Connected   int64  `json:"connected"`
}

// connections is GET connections?node=&topic=: who consumes and who publishes, on a node or
// on all that have a topic.
func (s *Server) connections(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	targets, err := s.connectionTargets(r, q.Get("node"), q.Get("topic"))
	if err != nil {
		return nil, err
	}
	rows, problems := []connectionRow{}, []string{}
	var mu sync.Mutex // guards rows and problems
	var asking sync.WaitGroup
	slots := make(chan struct{}, nodesOnce)
	for _, to := range targets {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			consumers, producers, err := s.up.nodes.Connections(r.Context(), to.Address, q.Get("topic"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems = append(problems, to.Name)
				return
			}
			for i := range consumers {
				rows = append(rows, newConnectionRow(&consumers[i], to))
			}
			for i := range producers {
				rows = append(rows, published(&producers[i], to, q.Get("topic"))...)
			}
		})
	}
	asking.Wait()
	slices.SortStableFunc(rows, func(a, b connectionRow) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Address, b.Address), strings.Compare(a.Topic, b.Topic))
	})
	slices.Sort(problems)
	cut := max(0, len(rows)-maxConnections)
	return map[string]any{"at": time.Now().UnixMilli(), "rows": rows[:len(rows)-cut], "cut": cut, "without": problems}, nil
}

// connectionTargets are the nodes to ask. One that gave no answer just now would keep
// people waiting.
func (s *Server) connectionTargets(r *http.Request, node, topic string) (targets []cluster.Target, err error) {
	if node != "" {
		to, err := s.nodeCalled(r, node)
		return []cluster.Target{to}, err
	}
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) { targets = c.Having(cluster.Pair{Topic: topic}) })
	if len(targets) == 0 {
		return nil, notFound(cluster.View{Kind: "topic", Topic: topic})
	}
	return slices.DeleteFunc(targets, func(to cluster.Target) bool { return to.Missed }), nil
}

func newConnectionRow(k *nodeclient.Connection, at cluster.Target) connectionRow {
	row := connectionRow{
		ID: k.ID, Hostname: k.Hostname, Address: k.RemoteAddress, Agent: k.UserAgent, Node: at.ID, Name: at.Name, Topic: k.Topic, Channel: k.Channel,
		Ready: k.ReadyCount, InFlight: k.InFlight, Messages: k.Messages, Identity: k.AuthIdentity, Connected: k.ConnectTime * 1000,
	}
	if k.TLS {
		row.TLS = cmp.Or(strings.Replace(k.TLSVersion, "TLS", "TLS ", 1), "TLS")
	}
	switch {
	case k.Snappy:
		row.Compression = "snappy"
	case k.Deflate:
		row.Compression = "deflate"
	}
	return row
}

// published are the rows of one who publishes: one for each topic.
func published(k *nodeclient.Connection, at cluster.Target, topic string) (rows []connectionRow) {
	for _, p := range k.PubCounts {
		if topic == "" || p.Topic == topic {
			row := newConnectionRow(k, at)
			row.Topic, row.Messages = p.Topic, p.Count
			rows = append(rows, row)
		}
	}
	return rows
}

// closeConnection ends one client's connection.
func (s *Server) closeConnection(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o struct {
		Node    string `json:"node"`
		Address string `json:"address"`
	}
	if err := readPageBody(r, maxOrder, &o); err != nil {
		return nil, err
	}
	if o.Address == "" {
		return nil, badRequest("The address of the client is missing.")
	}
	to, err := s.nodeCalled(r, o.Node)
	if err != nil {
		return nil, err
	}
	err = s.up.nodes.CloseClient(r.Context(), to.Address, o.Address)
	why := clientProblem(to, err)
	said := o.Address
	if why != "" {
		said += ": " + why
	}
	e := s.entryOf(r, "close_client")
	e.Node, e.Name, e.Result, e.OK = to.ID, to.Name, said, err == nil
	s.activity.add(e)
	return map[string]any{"ok": err == nil, "error": why}, nil
}
