package admin

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

// object is JSON that a test writes or reads.
type object = map[string]any

// fakeNode is a node as far as the admin sees it.
type fakeNode struct {
	*httptest.Server
	mu      sync.Mutex
	stats   object
	joins   bool     // rewinds were done before through another member
	down    bool     // it answers 500 to everything
	posts   []string // what it was told
	asked   []string // queries of /stats
	peek    http.HandlerFunc
	own     map[string]http.HandlerFunc // by path
	cluster object                      // what it says of its set; nil: it is in none
	paths   []string                    // that it was asked for
	refuse  int                         // status of changes; 0: they succeed
	hang    chan struct{}               // changes are answered when it is closed; nil: at once
}

func startNode(t *testing.T, name string, topics ...object) *fakeNode {
	t.Helper()
	n := &fakeNode{stats: object{"version": "1.3.0", "health": "OK", "start_time": 1_700_000_000, "topics": topics, "producers": nil}}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.serve(w, r, name) }))
	t.Cleanup(n.Close)
	return n
}

func (n *fakeNode) address() string { return strings.TrimPrefix(n.URL, "http://") }

func (n *fakeNode) port() int {
	_, port, _ := net.SplitHostPort(n.address())
	number, _ := strconv.Atoi(port)
	return number
}

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
	n.paths = append(n.paths, r.URL.Path)
	switch {
	case n.down:
		w.WriteHeader(500)
		w.Write([]byte(`{"message":"INTERNAL_ERROR"}`))
	case r.URL.Path == "/cluster" && n.cluster != nil:
		answerJSON(w, n.cluster)
	case r.URL.Path == "/info":
		answerJSON(w, object{"version": "1.3.0", "broadcast_address": "127.0.0.1", "hostname": name, "tcp_port": 4150, "http_port": n.port(),
			"start_time": 1_700_000_000, "topology_zone": "zone-" + name, "topology_region": ""})
	case r.URL.Path == "/stats":
		n.asked = append(n.asked, r.URL.RawQuery)
		answerJSON(w, n.filtered(r))
	case n.own[r.URL.Path] != nil:
		n.own[r.URL.Path](w, r)
	case r.URL.Path == "/channel/peek" && n.peek != nil:
		n.peek(w, r)
	case r.Method == http.MethodPost:
		if hang := n.hang; hang != nil {
			n.mu.Unlock()
			<-hang
			n.mu.Lock()
		}
		n.posts = append(n.posts, r.URL.RequestURI())
		if n.refuse != 0 {
			w.WriteHeader(n.refuse)
			w.Write([]byte(`{"message":"REFUSED"}`))
		}
	default:
		w.WriteHeader(404)
		w.Write([]byte(`{"message":"NOT_FOUND"}`))
	}
}

// filtered is /stats with its filters.
func (n *fakeNode) filtered(r *http.Request) object {
	q := r.URL.Query()
	answer := object{}
	for k, v := range n.stats {
		answer[k] = v
	}
	topics := []object{}
	for _, topic := range n.stats["topics"].([]object) {
		if q.Get("topic") != "" && topic["topic_name"] != q.Get("topic") {
			continue
		}
		shown, channels := object{}, []object{}
		for k, v := range topic {
			shown[k] = v
		}
		for _, c := range topic["channels"].([]object) {
			if q.Get("channel") == "" || c["channel_name"] == q.Get("channel") {
				one := object{}
				for k, v := range c {
					one[k] = v
				}
				if q.Get("include_clients") == "false" {
					one["clients"] = nil
				}
				channels = append(channels, one)
			}
		}
		shown["channels"] = channels
		topics = append(topics, shown)
	}
	answer["topics"] = topics
	return answer
}

func (n *fakeNode) set(f func(*fakeNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n)
}

// told is what the node was told, since the last call.
func (n *fakeNode) told() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	posts := n.posts
	n.posts = nil
	return posts
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(v)
}

func aTopic(name string, messages int, channels ...object) object {
	return object{"topic_name": name, "channels": channels, "depth": 0, "backend_depth": 0, "message_count": messages, "message_bytes": 100 * messages,
		"paused": false, "e2e_processing_latency": object{"count": 0, "percentiles": nil}}
}

func aChannel(name string, depth, messages int, clients ...object) object {
	return object{"channel_name": name, "depth": depth, "backend_depth": 1, "in_flight_count": 2, "deferred_count": 3, "message_count": messages,
		"requeue_count": 4, "timeout_count": 5, "client_count": len(clients), "clients": clients, "paused": false,
		"e2e_processing_latency": object{"count": 10, "percentiles": []object{{"quantile": 0.99, "value": 2e6}}}}
}

func aClient(id string) object {
	return object{"client_id": id, "hostname": id + ".example", "version": "V2", "remote_address": "10.0.0.1:5", "state": 3, "ready_count": 10, "in_flight_count": 10,
		"message_count": 7, "finish_count": 6, "requeue_count": 1, "connect_ts": 1_700_000_000, "sample_rate": 0, "deflate": false, "snappy": true, "user_agent": "go-nsq/1.1.0",
		"topology_zone": "z", "topology_region": "r", "tls": true, "tls_version": "TLS1.3", "tls_cipher_suite": "x", "tls_negotiated_protocol": "", "tls_negotiated_protocol_is_mutual": true}
}

// fakeDirectory is a lookup daemon for the given nodes.
type fakeDirectory struct {
	*httptest.Server
	mu     sync.Mutex
	nodes  map[*fakeNode][]string // their topics
	topics []string               // beyond those of nodes
	posts  []string
	down   bool
}

func startDirectory(t *testing.T, nodes map[*fakeNode][]string, topics ...string) *fakeDirectory {
	t.Helper()
	d := &fakeDirectory{nodes: nodes, topics: topics}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *fakeDirectory) address() string { return strings.TrimPrefix(d.URL, "http://") }

func (d *fakeDirectory) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	posts := d.posts
	d.posts = nil
	return posts
}

func (d *fakeDirectory) producers(topic string) (list []object, all []string) {
	list, all = []object{}, slices.Clone(d.topics)
	for n, topics := range d.nodes {
		for _, name := range topics {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		if topic == "" || slices.Contains(topics, topic) {
			list = append(list, object{"remote_address": "10.1.1.1:999", "hostname": "host", "broadcast_address": "127.0.0.1", "tcp_port": n.port() + 1,
				"http_port": n.port(), "version": "1.3.0", "topology_zone": "", "topology_region": "", "topics": topics, "tombstones": make([]bool, len(topics))})
		}
	}
	return list, all
}

func (d *fakeDirectory) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
	topic := r.URL.Query().Get("topic")
	list, all := d.producers(topic)
	switch {
	case d.down:
		w.WriteHeader(500)
		w.Write([]byte(`{"message":"DOWN"}`))
	case r.URL.Path == "/nodes":
		list, _ = d.producers("")
		answerJSON(w, object{"producers": list})
	case r.URL.Path == "/topics":
		answerJSON(w, object{"topics": all})
	case r.URL.Path == "/info":
		answerJSON(w, object{"version": "1.3.0"})
	case r.URL.Path == "/channels":
		answerJSON(w, object{"channels": []string{"old"}})
	case r.URL.Path == "/lookup" && !slices.Contains(all, topic):
		w.WriteHeader(404)
		w.Write([]byte(`{"message":"TOPIC_NOT_FOUND"}`))
	case r.URL.Path == "/lookup":
		answerJSON(w, object{"channels": []string{"old"}, "producers": list})
	case r.Method == http.MethodPost:
		d.posts = append(d.posts, r.URL.RequestURI())
	default:
		w.WriteHeader(404)
	}
}

// pageOf is a page with next to nothing in it.
var testPage = fstest.MapFS{
	"index.html":  {Data: []byte(`<!doctype html><head><base href="/"></head>page`)},
	"app.js":      {Data: []byte(strings.Repeat("// script\n", 200))},
	"css/all.css": {Data: []byte("a{}")},
}

// startServer runs an admin and returns where.
func startServer(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Files == nil {
		o.Files = testPage
	}
	if o.RequestTimeout == 0 {
		o.ConnectTimeout, o.RequestTimeout = time.Minute, time.Minute // nothing that works takes as long
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil && !strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

// reply is what came back.
type reply struct {
	status int
	head   http.Header
	body   string
}

// send makes a request; head are names and values in turn.
func send(t *testing.T, method, url, body string, head ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	return reply{resp.StatusCode, resp.Header, b.String()}
}

func get(t *testing.T, url string) reply { t.Helper(); return send(t, "GET", url, "") }

func postJSON(t *testing.T, url, body string, head ...string) reply {
	t.Helper()
	return send(t, "POST", url, body, append([]string{"Content-Type", "application/json"}, head...)...)
}

// decoded is the JSON of a reply.
func (r reply) decoded(t *testing.T) object {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(r.body), &o); err != nil {
		t.Fatalf("%v in %.300s", err, r.body)
	}
	return o
}

// at walks into JSON by keys and indices.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch key := step.(type) {
		case string:
			m, ok := v.(object)
			if !ok {
				t.Fatalf("%v of %v: no object", path, v)
			}
			if v, ok = m[key]; !ok {
				t.Fatalf("%v: no %s in %v", path, key, m)
			}
		case int:
			list, ok := v.([]any)
			if !ok || key >= len(list) {
				t.Fatalf("%v of %v: no such element", path, v)
			}
			v = list[key]
		}
	}
	return v
}

// lockedBuilder is a log that a test reads while it is written.
type lockedBuilder struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// questions are the queries for figures that it was asked.
func (n *fakeNode) questions() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}
