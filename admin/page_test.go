package admin

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"qmq/admin/cluster"
)

// event is one of a stream.
type event struct {
	name string
	data object
}

// follow opens a stream. Events come until the test ends.
func follow(t *testing.T, url string, head ...string) (<-chan event, *http.Response) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan event)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 16<<20)
		var e event
		for lines.Scan() {
			switch line := lines.Text(); {
			case strings.HasPrefix(line, "event: "):
				e.name = line[7:]
			case strings.HasPrefix(line, "data: "):
				_ = json.Unmarshal([]byte(line[6:]), &e.data)
			case line == "" && e.name != "":
				select {
				case events <- e:
				case <-t.Context().Done():
					return
				}
				e = event{}
			}
		}
	}()
	return events, resp
}

// until returns the first event that satisfies a condition.
func until(t *testing.T, events <-chan event, is func(event) bool) event {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("the stream ended")
			}
			if is(e) {
				return e
			}
		case <-timeout:
			t.Fatal("it did not come")
		}
	}
}

func TestStreamShowsWhatChanges(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 100, aChannel("c", 7, 90)), aTopic("u", 5))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	events, resp := follow(t, base+"/api/q/stream?view=topics", "Accept-Encoding", "gzip")
	same(t, "type", resp.Header.Get("Content-Type")+resp.Header.Get("Content-Encoding"), "text/event-stream")
	first := until(t, events, func(e event) bool { return e.name == "frame" && len(at(t, e.data, "data", "rows").([]any)) == 2 })
	same(t, "first", at(t, first.data, "full"), true)
	a.set(func(n *fakeNode) { n.stats["topics"] = []object{aTopic("t", 100, aChannel("c", 8, 90))} })
	next := until(t, events, func(e event) bool { return len(at(t, e.data, "data", "gone").([]any)) > 0 })
	same(t, "full", at(t, next.data, "full"), false)
	same(t, "gone", at(t, next.data, "data", "gone"), "[u]")
	rows := at(t, next.data, "data", "rows").([]any)
	same(t, "changed", len(rows), 1)
	same(t, "depth", at(t, rows[0], "depth"), 8)
}

func TestStreamOfSomethingThatGoesAndComesBack(t *testing.T) {
	topics := []object{aTopic("t", 100, aChannel("c", 7, 90, aClient("x")))}
	a := startNode(t, "a", topics...)
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	events, _ := follow(t, base+"/api/q/stream?view=channel&topic=t&channel=c")
	first := until(t, events, func(e event) bool { return e.name == "frame" })
	same(t, "consumer", at(t, first.data, "data", "clients", 0, "id"), "x")
	same(t, "TLS", at(t, first.data, "data", "clients", 0, "tls"), "TLS 1.3")
	same(t, "RDY", at(t, first.data, "data", "figures", "ready"), 10)
	same(t, "p99", at(t, first.data, "data", "latency", 0, "ms"), 2)
	a.set(func(n *fakeNode) { n.stats["topics"] = []object{} })
	until(t, events, func(e event) bool { return e.name == "gone" && e.data["error"] == "NOT_FOUND" })
	a.set(func(n *fakeNode) { n.stats["topics"] = topics })
	until(t, events, func(e event) bool { return e.name == "frame" })
}

func TestNodesAreNotAskedForConsumersUnlessSomebodyLooks(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1, aChannel("c", 1, 1, aClient("x"))))
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	get(t, base+"/api/q/overview")
	s.collector.firstUpdate(t.Context())
	a.set(func(n *fakeNode) {
		for _, q := range n.asked {
			if !strings.Contains(q, "include_clients=false") {
				t.Errorf("asked %s", q)
			}
		}
	})
	get(t, base+"/api/q/channel?topic=t&channel=c")
	a.set(func(n *fakeNode) {
		if last := n.asked[len(n.asked)-1]; last != "channel=c&format=json&include_mem=false&topic=t" {
			t.Errorf("asked %s", last)
		}
	})
}

func TestViewersAreBoundedAndSentAwayAtTheEnd(t *testing.T) {
	a := startNode(t, "a")
	s, base := startServer(t, Options{Nodes: []string{a.address()}, MaxViewers: 1})
	events, _ := follow(t, base+"/api/q/stream?view=overview")
	until(t, events, func(e event) bool { return e.name == "frame" })
	r := get(t, base+"/api/q/stream?view=overview")
	same(t, "second viewer", []any{r.status, r.decoded(t)["error"], r.head.Get("Retry-After")}, "[503 BUSY 5]")
	s.leaveAll()
	until(t, events, func(e event) bool { return e.name == "bye" })
	if _, open := <-events; open {
		t.Error("the stream goes on")
	}
}

// stuckWriter is a viewer that reads nothing.
type stuckWriter struct {
	http.ResponseWriter
	stuck, release chan struct{}
}

// Flush is part of [http.Flusher].
func (w *stuckWriter) Flush() {}

func (w *stuckWriter) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "event: frame") {
		close(w.stuck)
		<-w.release
		return 0, errors.New("gone")
	}
	return len(b), nil
}

func TestViewerThatReadsNothingHoldsNobodyUp(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	w := &stuckWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.ServeHTTP(w, httptest.NewRequest("GET", "/api/q/stream?view=overview", nil).WithContext(t.Context()))
	}()
	select {
	case <-w.stuck:
	case <-ended:
		t.Fatal("it sent no frame")
	}
	events, _ := follow(t, base+"/api/q/stream?view=overview")
	for range 3 {
		until(t, events, func(e event) bool { return e.name == "frame" })
	}
	close(w.release)
	<-ended
}

func TestViewsOfAMixedClusterWithASilentNode(t *testing.T) {
	a := startNode(t, "a.example", aTopic("t", 100, aChannel("c", 7, 90)))
	began := time.Now()
	_, base := startServer(t, Options{Nodes: []string{a.address(), "127.0.0.1:1"}, Cluster: "test"})
	o := get(t, base+"/api/q/overview").decoded(t)
	same(t, "cluster", at(t, o, "bar", "cluster"), "test")
	same(t, "silent", at(t, o, "bar", "silent", 0, "error"), "connection refused on port 1")
	same(t, "without", at(t, o, "data", "totals", "without"), "[127.0.0.1:1]")
	same(t, "depth", at(t, o, "data", "totals", "depth"), 7)
	if time.Since(began) < cluster.LiveInterval { // no node was asked twice
		same(t, "rate that is not known yet", at(t, o, "data", "totals", "pub_rate"), nil)
	}
	same(t, "RDY", at(t, o, "data", "totals", "ready"), nil)
	n := get(t, base+"/api/q/nodes").decoded(t)
	same(t, "silent node", at(t, n, "data", "nodes", 0, "stale"), true)
	same(t, "zone", at(t, n, "data", "nodes", 1, "zone"), "zone-a.example")
	same(t, "kind", at(t, n, "data", "nodes", 1, "kind"), "nsqd")
	topic := get(t, base+"/api/q/topic?topic=t").decoded(t)
	same(t, "sub", at(t, topic, "data", "sub"), "1 channel on 1 node")
	same(t, "node of a topic", at(t, topic, "data", "nodes", 0, "name"), "a.example")
	one := get(t, base+"/api/q/node?node="+url.QueryEscape(a.address())).decoded(t)
	same(t, "topic of a node", at(t, one, "data", "topics", 0, "messages"), 100)
	same(t, "counter", at(t, get(t, base+"/api/q/counter").decoded(t), "data", "total"), 90)
	names := get(t, base+"/api/q/names").decoded(t)
	same(t, "names", names["topics"], "[[t [c]]]")
	same(t, "history", len(at(t, get(t, base+"/api/q/history?kind=channel&topic=t&channel=c&span=5m").decoded(t), "series", "in").([]any)), 300)
	for path, want := range map[string]int{
		"topic?topic=x": 404, "channel?topic=t&channel=x": 404, "node?node=x": 404, "topic": 400, "stream?view=x": 400, "stream": 400, "history?kind=x&span=5m": 404,
		"history?kind=cluster&span=2h": 400, "peek?topic=t&channel=c&state=x": 400, "peek?topic=t&channel=c&limit=1000": 400, "peek?topic=t&channel=x": 404,
	} {
		r := get(t, base+"/api/q/"+path)
		if r.status != want || r.decoded(t)["text"] == "" || r.decoded(t)["error"] == "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestLookupPageListsWhatNoNodeHas(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	d := startDirectory(t, map[*fakeNode][]string{a: {"t"}}, "lonely")
	_, base := startServer(t, Options{Lookupds: []string{d.address()}})
	l := get(t, base+"/api/q/lookup").decoded(t)
	same(t, "inactive", at(t, l, "data", "inactive"), "[map[channels:[old] topic:lonely]]")
	same(t, "version", at(t, l, "data", "lookupds", 0, "version"), "1.3.0")
}

func TestActionTellsTheResultOfEachNodeAndCanBeTriedAgainOnOne(t *testing.T) {
	a, b, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address()}})
	events, _ := follow(t, base+"/api/q/stream?view=topic&topic=t")
	until(t, events, func(e event) bool { return e.name == "frame" && len(at(t, e.data, "data", "nodes").([]any)) == 2 })
	b.set(func(n *fakeNode) { n.refuse = 503 })
	r := postJSON(t, base+"/api/q/act", `{"action":"pause_channel","topic":"t","channel":"c"}`)
	o := r.decoded(t)
	same(t, "status", r.status, 200)
	same(t, "outcome", []any{o["ok"], o["summary"]}, "[false 1 of 2 nodes; b refused (503)]")
	same(t, "told", []any{a.told(), b.told()}, "[[/channel/pause?channel=c&topic=t] [/channel/pause?channel=c&topic=t]]")
	b.set(func(n *fakeNode) { n.refuse = 0 })
	again := postJSON(t, base+"/api/q/act", `{"action":"pause_channel","topic":"t","channel":"c","only":{"kind":"node","target":"`+b.address()+`"}}`).decoded(t)
	same(t, "again", again["summary"], "1 of 1 node")
	same(t, "told", []any{a.told(), b.told()}, "[[] [/channel/pause?channel=c&topic=t]]")
	entries := at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries").([]any)
	same(t, "levels", []any{at(t, entries[0], "level"), at(t, entries[1], "level")}, "[ warn]")
	created := postJSON(t, base+"/api/q/act", `{"action":"create_channel","topic":"t","channel":"loyalty"}`).decoded(t)
	same(t, "created", created["summary"], "2 of 2 nodes")
	same(t, "directory", d.told(), "[/topic/create?topic=t /channel/create?channel=loyalty&topic=t]")
	marks := get(t, base+"/api/q/history?kind=topic&topic=t&span=5m").decoded(t)["marks"].([]any)
	same(t, "mark", at(t, marks[len(marks)-1], "text"), "channel loyalty created")
	for body, want := range map[string]int{
		`{"action":"dance_topic","topic":"t"}`: 400, `{"action":"empty_topic","topic":"no such"}`: 400, `{"action":"empty_topic","topic":"nowhere"}`: 404,
		`{"action":"empty_channel","topic":"t","channel":"nowhere"}`: 404, `{"action":"tombstone_topic_producer","topic":"t"}`: 400,
		`{"action":"tombstone_topic_producer","topic":"t","node":"elsewhere:1"}`: 404, `[`: 400, `{"action":"peek","topic":"t"}`: 400,
	} {
		if r := postJSON(t, base+"/api/q/act", body); r.status != want {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
}

func TestDamageIsAcknowledgedAtItsNodeUpToWhatWasSeen(t *testing.T) {
	a, b := startNode(t, "a", aTopic("t", 1)), startNode(t, "b", aTopic("t", 1))
	a.set(func(n *fakeNode) {
		n.stats["damage"] = object{"messages": 2, "journal_bytes": 0, "last": 77, "findings": []object{
			{"id": "missing/1", "kind": "missing", "topic": "t", "messages": 2, "time": 1_700_000_000, "text": "Gone.", "path": "/data"}}}
	})
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}, ACLHeader: "X-User", Admins: []string{"maria"}})
	page := get(t, base+"/api/q/node?node="+a.address()).decoded(t)
	same(t, "finding", at(t, page, "data", "node", "damage", "findings", 0, "text"), "Gone.")
	same(t, "line", at(t, page, "data", "attention", 0, "text"), "Lost 2 messages to damage on disk")
	order := `{"action":"acknowledge_damage","node":"` + a.address() + `","until":77}`
	same(t, "viewer", postJSON(t, base+"/api/q/act", order, "X-User", "jon").status, 403)
	same(t, "told", []any{a.told(), b.told()}, "[[] []]")
	r := postJSON(t, base+"/api/q/act", order, "X-User", "maria")
	same(t, "outcome", []any{r.status, r.decoded(t)["summary"]}, "[200 1 of 1 node]")
	same(t, "told", []any{a.told(), b.told()}, "[[/damage/ack?until=77] []]")
	same(t, "activity", at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries", 0, "text"), "acknowledged damage")
	for body, want := range map[string]int{
		`{"action":"acknowledge_damage","node":"` + a.address() + `"}`: 400, `{"action":"acknowledge_damage","until":1}`: 400,
		`{"action":"acknowledge_damage","node":"elsewhere:1","until":1}`: 404,
	} {
		same(t, body, postJSON(t, base+"/api/q/act", body, "X-User", "maria").status, want)
	}
}

func TestPublishGoesToOneKnownNode(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	o := postJSON(t, base+"/api/q/publish", `{"topic":"t","node":"`+a.address()+`","body_base64":"AAEC","defer_ms":1500}`).decoded(t)
	same(t, "outcome", []any{o["ok"], o["bytes"], o["name"]}, "[true 3 a]")
	same(t, "told", a.told(), "[/pub?defer=1500&topic=t]")
	for body, want := range map[string]int{
		`{"topic":"t","node":"169.254.169.254:80","body":"x"}`: 404, `{"topic":"t","node":"` + a.address() + `"}`: 400,
		`{"topic":"t t","node":"` + a.address() + `","body":"x"}`: 400, `{"topic":"t","node":"` + a.address() + `","body":"x","defer_ms":-1}`: 400,
	} {
		if r := postJSON(t, base+"/api/q/publish", body); r.status != want {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	a.set(func(n *fakeNode) { n.refuse = 503 })
	refused := postJSON(t, base+"/api/q/publish", `{"topic":"t","node":"`+a.address()+`","body":"x"}`).decoded(t)
	same(t, "refused", []any{refused["ok"], refused["error"]}, `[false got response 503 Service Unavailable "{\"message\":\"REFUSED\"}"]`)
}

func TestPeekMergesNodesThatCanAndNamesThoseThatCannot(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1, aChannel("c", 7, 9)))
	b := startNode(t, "b", aTopic("t", 1, aChannel("c", 5, 9)))
	b.set(func(n *fakeNode) {
		n.stats["version"] = "2.0.0"
		n.peek = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "channel=c&limit=2&state=deferred&topic=t" {
				t.Errorf("asked %s", r.URL.RawQuery)
			}
			answerJSON(w, object{"messages": []object{
				{"id": "0000000000000002", "timestamp": 2_000_000_000_000_000_001, "attempts": 1, "size": 100_000, "state": "deferred", "due_ms": 500, "body": strings.Repeat("AAAA", 30_000)},
				{"id": "0000000000000001", "timestamp": 1_000_000_000_000_000_000, "attempts": 2, "size": 2, "state": "deferred", "client_id": "x", "due_ms": 100, "body": base64.StdEncoding.EncodeToString([]byte("hi")), "truncated": false},
			}})
		}
	})
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	o := get(t, base+"/api/q/peek?topic=t&channel=c&state=deferred&limit=2").decoded(t)
	same(t, "oldest first", at(t, o, "messages", 0, "id"), "0000000000000001")
	same(t, "body", at(t, o, "messages", 0, "body"), "aGk=")
	same(t, "client and due time", []any{at(t, o, "messages", 0, "client"), at(t, o, "messages", 0, "due_ms")}, "[x 100]")
	same(t, "timestamp", at(t, o, "messages", 1, "timestamp_ns"), "2000000000000000001")
	long, _ := base64.StdEncoding.DecodeString(at(t, o, "messages", 1, "body").(string))
	same(t, "cut", []any{len(long), at(t, o, "messages", 1, "truncated")}, "[65536 true]")
	same(t, "total", at(t, o, "total"), 6)
	same(t, "cannot", []any{at(t, o, "nodes", 0, "available"), at(t, o, "nodes", 0, "error")}, "[false nsqd 1.3.0 cannot show messages]")
	same(t, "can", []any{at(t, o, "nodes", 1, "available"), at(t, o, "nodes", 1, "count")}, "[true 2]")
}

func TestDirectoriesChangeWhileRunning(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	b := startNode(t, "b", aTopic("u", 1))
	d1, d2 := startDirectory(t, map[*fakeNode][]string{a: {"t"}}), startDirectory(t, map[*fakeNode][]string{b: {"u"}})
	s, base := startServer(t, Options{Lookupds: []string{d1.address()}})
	events, _ := follow(t, base+"/api/q/stream?view=nodes")
	until(t, events, func(e event) bool { return e.name == "frame" && len(at(t, e.data, "data", "nodes").([]any)) == 1 })
	s.SetLookupds([]string{d2.address()})
	same(t, "topics", get(t, base+"/api/topics").body, `{"topics":["u"],"message":""}`)
	until(t, events, func(e event) bool {
		return len(at(t, e.data, "data", "nodes").([]any)) == 2 && at(t, e.data, "data", "lookupds", 0, "address") == d2.address()
	})
}

func TestUnknownAddressIsAPageForBrowsersAndJSONForScripts(t *testing.T) {
	a := startNode(t, "a")
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	for _, test := range []struct{ method, accept, contentType, part string }{
		{"GET", "text/html,application/xhtml+xml", "text/html; charset=utf-8", "<base href="},
		{"GET", "*/*", "application/json; charset=utf-8", `{"message":"NOT_FOUND"}`},
		{"POST", "text/html", "application/json; charset=utf-8", `{"message":"NOT_FOUND"}`},
	} {
		r := send(t, test.method, base+"/nope", "", "Accept", test.accept)
		if r.status != 404 || r.head.Get("Content-Type") != test.contentType || !strings.Contains(r.body, test.part) {
			t.Errorf("%s, Accept %s: %d %s %s", test.method, test.accept, r.status, r.head.Get("Content-Type"), r.body)
		}
	}
}
