package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoNodes is a cluster of two nodes that both have topic t with channel c.
func twoNodes(t *testing.T) (a, b *fakeNode, d *fakeDirectory) {
	a = startNode(t, "a", aTopic("t", 100, aChannel("c", 7, 90, aClient("x"))), aTopic("u", 5))
	b = startNode(t, "b", aTopic("t", 200, aChannel("c", 3, 80)))
	d = startDirectory(t, map[*fakeNode][]string{a: {"t", "u"}, b: {"t"}}, "lonely")
	return a, b, d
}

// keysOf are the keys of JSON in their order.
func keysOf(t *testing.T, text string) (keys []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	for depth, isKey := 0, false; ; {
		token, err := d.Token()
		if err != nil {
			return keys
		}
		switch token := token.(type) {
		case json.Delim:
			if token == '{' || token == '[' {
				depth++
				isKey = token == '{'
			} else {
				depth--
				isKey = true
			}
			continue
		case string:
			if depth == 1 && isKey {
				keys = append(keys, token)
				isKey = false
				continue
			}
		}
		if depth == 1 {
			isKey = true
		}
	}
}

func TestScriptsReadTheShapesOfNsqadmin(t *testing.T) {
	a, b, d := twoNodes(t)
	_, at1 := startServer(t, Options{Lookupds: []string{d.address()}})

	r := get(t, at1+"/api/topics")
	same(t, "topics", r.body, `{"topics":["lonely","t","u"],"message":""}`)
	same(t, "type", r.head.Get("Content-Type")+" "+r.head.Get("X-NSQ-Content-Type"), "application/json; charset=utf-8 nsq; version=1.0")
	same(t, "inactive", get(t, at1+"/api/topics?inactive=true").body, `{"topics":{"lonely":["old"]},"message":""}`)

	r = get(t, at1+"/api/topics/t")
	same(t, "keys of a topic", keysOf(t, r.body), "[node hostname topic_name depth memory_depth backend_depth message_count delivery_msg_count nodes channels paused e2e_processing_latency message]")
	topic := r.decoded(t)
	same(t, "messages", at(t, topic, "message_count"), 300)
	same(t, "node", at(t, topic, "node"), "*")
	same(t, "nodes", len(at(t, topic, "nodes").([]any)), 2)
	same(t, "depth of the channel", at(t, topic, "channels", 0, "depth"), 10)
	same(t, "its nodes", len(at(t, topic, "channels", 0, "nodes").([]any)), 2)
	same(t, "a node's channel", at(t, topic, "nodes", 0, "channels", 0, "memory_depth").(float64)+at(t, topic, "nodes", 1, "channels", 0, "memory_depth").(float64), 8)
	same(t, "clients are not asked for", at(t, topic, "channels", 0, "clients"), nil)

	r = get(t, at1+"/api/topics/t/c")
	same(t, "keys of a channel", keysOf(t, r.body), "[node hostname topic_name channel_name depth memory_depth backend_depth in_flight_count deferred_count requeue_count timeout_count message_count client_count nodes clients paused e2e_processing_latency message]")
	channel := r.decoded(t)
	same(t, "client", at(t, channel, "clients", 0, "client_id"), "x")
	same(t, "its node", at(t, channel, "clients", 0, "node"), a.address())
	same(t, "percentiles", at(t, channel, "e2e_processing_latency", "percentiles", 0, "average"), 2e6)
	same(t, "counts", at(t, channel, "e2e_processing_latency", "percentiles", 0, "count"), 20)

	r = get(t, at1+"/api/nodes")
	nodes := at(t, r.decoded(t), "nodes").([]any)
	same(t, "nodes", len(nodes), 2)
	same(t, "seen by", at(t, nodes[0], "remote_addresses", 0), d.address()+"/10.1.1.1:999")
	same(t, "out of date", at(t, nodes[0], "out_of_date"), false)

	node := get(t, at1+"/api/nodes/"+a.address()).decoded(t)
	same(t, "totals", []any{at(t, node, "total_messages"), at(t, node, "total_clients"), len(at(t, node, "topics").([]any))}, "[105 1 2]")

	counter := get(t, at1+"/api/counter").decoded(t)
	same(t, "counter", at(t, counter, "stats", "t:c:"+b.address(), "message_count"), 80)
}

func TestScriptsGetTheStatusesOfNsqadminOrBetterOnes(t *testing.T) {
	a, b, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address()}, AllowConfigFrom: netip.MustParsePrefix("127.0.0.1/8"), GraphiteURL: nil})
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/ping", "", 200, "OK"},
		{"GET", "/api/topics/nowhere", "", 404, `{"message":"TOPIC_NOT_FOUND"}`},
		{"GET", "/api/topics/t/nowhere", "", 404, `{"message":"CHANNEL_NOT_FOUND"}`},
		{"GET", "/api/nodes/nowhere:1", "", 404, `{"message":"NODE_NOT_FOUND"}`},
		{"GET", "/api/nothing", "", 404, `{"message":"NOT_FOUND"}`},
		{"PUT", "/api/topics", "", 405, `{"message":"METHOD_NOT_ALLOWED","why":"/api/topics takes GET or POST, not PUT"}`},
		{"GET", "/api/topics?x=%", "", 400, `{"message":"INVALID_REQUEST"}`},
		{"POST", "/api/topics", `{"topic":"b@d"}`, 400, `{"message":"INVALID_TOPIC"}`},
		{"POST", "/api/topics", `{"topic":"ok","channel":"b@d"}`, 400, `{"message":"INVALID_CHANNEL"}`},
		{"POST", "/api/topics", `{`, 400, `{"message":"unexpected EOF"}`},
		{"POST", "/api/topics/t", `{"action":"dance"}`, 400, `{"message":"INVALID_ACTION"}`},
		{"POST", "/api/topics/t/c", `{}`, 400, `{"message":"INVALID_ACTION"}`},
		{"POST", "/api/topics/nowhere", `{"action":"pause"}`, 404, `{"message":"TOPIC_NOT_FOUND"}`},
		{"POST", "/api/topics/nowhere/c", `{"action":"empty"}`, 404, `{"message":"TOPIC_NOT_FOUND"}`},
		{"DELETE", "/api/topics/nowhere", "", 404, `{"message":"TOPIC_NOT_FOUND"}`},
		{"DELETE", "/api/topics/lonely", "", 200, `{"message":""}`},
		{"DELETE", "/api/nodes/x:1", `{`, 400, `{"message":"INVALID_BODY"}`},
		{"DELETE", "/api/nodes/x:1", `{"topic":""}`, 400, `{"message":"INVALID_TOPIC"}`},
		{"GET", "/api/graphite", "", 400, `{"message":"INVALID_ARG_METRIC"}`},
		{"GET", "/api/graphite?metric=rate", "", 400, `{"message":"INVALID_ARG_TARGET"}`},
		{"GET", "/api/graphite?metric=rate&target=x", "", 500, `{"message":"INTERNAL_ERROR"}`},
		{"GET", "/static/nowhere.js", "", 404, "NOT_FOUND"},
		{"GET", "/api/topics/lonely", "", 200, `{"node":"","hostname":"","topic_name":"lonely","depth":0,"memory_depth":0,"backend_depth":0,"message_count":0,"delivery_msg_count":0,"nodes":null,"channels":[],"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null,"topic":"lonely","channel":"","host":""},"message":""}`},
	} {
		if r := send(t, test.method, base+test.path, test.body); r.status != test.status || r.body != test.want {
			t.Errorf("%s %s %s: %d %s", test.method, test.path, test.body, r.status, r.body)
		}
	}
	if told := append(a.told(), b.told()...); len(told) > 0 {
		t.Errorf("nodes were told %v", told)
	}
}

func TestScriptsChangeWhatTheyName(t *testing.T) {
	a, b, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address()}})
	for _, test := range []struct {
		method, path, body string
		directory, a, b    string
	}{
		{"POST", "/api/topics", `{"topic":"n"}`, "[/topic/create?topic=n]", "[]", "[]"},
		{"POST", "/api/topics", `{"topic":"t","channel":"k"}`, "[/topic/create?topic=t /channel/create?channel=k&topic=t]", "[/channel/create?channel=k&topic=t]", "[/channel/create?channel=k&topic=t]"},
		{"POST", "/api/topics/u", `{"action":"pause"}`, "[]", "[/topic/pause?topic=u]", "[]"},
		{"POST", "/api/topics/t", `{"action":"empty"}`, "[]", "[/topic/empty?topic=t]", "[/topic/empty?topic=t]"},
		{"POST", "/api/topics/t/c", `{"action":"unpause"}`, "[]", "[/channel/unpause?channel=c&topic=t]", "[/channel/unpause?channel=c&topic=t]"},
		{"DELETE", "/api/topics/t/c", "", "[/channel/delete?channel=c&topic=t]", "[/channel/delete?channel=c&topic=t]", "[/channel/delete?channel=c&topic=t]"},
		{"DELETE", "/api/topics/u", "", "[/topic/delete?topic=u]", "[/topic/delete?topic=u]", "[]"},
		{"DELETE", "/api/nodes/" + a.address(), `{"topic":"t"}`, "[/topic/tombstone?node=" + url.QueryEscape(a.address()) + "&topic=t]", "[/topic/delete?topic=t]", "[]"},
	} {
		r := send(t, test.method, base+test.path, test.body)
		if r.status != 200 || r.body != `{"message":""}` {
			t.Errorf("%s %s: %d %s", test.method, test.path, r.status, r.body)
		}
		same(t, test.path+" at the directory", d.told(), test.directory)
		same(t, test.path+" at a", a.told(), test.a)
		same(t, test.path+" at b", b.told(), test.b)
	}
	entries := at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries").([]any)
	same(t, "activity", len(entries), 8)
	same(t, "newest", at(t, entries[0], "text"), "tombstoned node")
}

func TestPartialFailureIsAWarningAndTotalFailureAnError(t *testing.T) {
	a, b, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address(), "127.0.0.1:1"}})
	a.set(func(n *fakeNode) { n.down = true })
	r := get(t, base+"/api/topics/t")
	message := at(t, r.decoded(t), "message").(string)
	if r.status != 200 || !strings.HasPrefix(message, "WARNING: ") || !strings.Contains(message, `got response 500 Internal Server Error "{\"message\":\"INTERNAL_ERROR\"}"`) || !strings.Contains(message, "connection refused") {
		t.Errorf("%d %s", r.status, message)
	}
	same(t, "what is known", at(t, r.decoded(t), "message_count"), 200)
	b.set(func(n *fakeNode) { n.down = true })
	if r := get(t, base+"/api/topics/t"); r.status != 502 || !strings.HasPrefix(r.body, `{"message":"UPSTREAM_ERROR: failed to query any nsqd: `) {
		t.Errorf("all nodes down: %d %s", r.status, r.body)
	}
	d.mu.Lock()
	d.down = true
	d.mu.Unlock()
	if r := get(t, base+"/api/topics"); r.status != 502 || !strings.HasPrefix(r.body, `{"message":"UPSTREAM_ERROR: failed to query any nsqlookupd: `) {
		t.Errorf("all directories down: %d %s", r.status, r.body)
	}
}

func TestNodesInsteadOfDirectories(t *testing.T) {
	a, b, _ := twoNodes(t)
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	same(t, "topics", get(t, base+"/api/topics").body, `{"topics":["t","u"],"message":""}`)
	same(t, "inactive", get(t, base+"/api/topics?inactive=true").body, `{"topics":{},"message":""}`)
	same(t, "messages", at(t, get(t, base+"/api/topics/t").decoded(t), "message_count"), 300)
	same(t, "nodes", len(at(t, get(t, base+"/api/nodes").decoded(t), "nodes").([]any)), 2)
	same(t, "counter", len(at(t, get(t, base+"/api/counter").decoded(t), "stats").(object)), 2)
	same(t, "told", append(a.told(), b.told()...), "[]")
	same(t, "delete", send(t, "DELETE", base+"/api/topics/u", "").body, `{"message":""}`)
	same(t, "told", append(a.told(), b.told()...), "[/topic/delete?topic=u]")
}

func TestWithoutDirectoriesScriptsCreateOnTheNodes(t *testing.T) {
	a, b, _ := twoNodes(t)
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	for _, test := range []struct{ body, a, b string }{
		{`{"topic":"n"}`, "[/topic/create?topic=n]", "[/topic/create?topic=n]"},
		{`{"topic":"u","channel":"k"}`, "[/channel/create?channel=k&topic=u]", "[]"}, // where the topic is
		{`{"topic":"n","channel":"k"}`, "[/topic/create?topic=n /channel/create?channel=k&topic=n]", "[/topic/create?topic=n /channel/create?channel=k&topic=n]"},
	} {
		r := send(t, "POST", base+"/api/topics", test.body)
		same(t, test.body, fmt.Sprint(r.status, r.body), `200{"message":""}`)
		same(t, test.body+" at a", a.told(), test.a)
		same(t, test.body+" at b", b.told(), test.b)
	}
	b.set(func(n *fakeNode) { n.refuse = 500 })
	if r := send(t, "POST", base+"/api/topics", `{"topic":"n"}`); r.status != 200 || !strings.Contains(r.body, "got response 500") {
		t.Errorf("where one node refuses: %d %s", r.status, r.body)
	}
}

func TestTombstoneOfAnUnknownNodeIsNoSuccess(t *testing.T) {
	a, _, d := twoNodes(t)
	for _, o := range []Options{{Nodes: []string{a.address()}}, {Lookupds: []string{d.address()}}} {
		_, base := startServer(t, o)
		r := send(t, "DELETE", base+"/api/nodes/unknown:1", `{"topic":"t"}`)
		same(t, "answer", fmt.Sprint(r.status, r.body), `404{"message":"NODE_NOT_FOUND"}`)
		same(t, "told", append(a.told(), d.told()...), "[]")
	}
}

func TestDirectoriesCannotBeChangedWhereNodesWereGiven(t *testing.T) {
	a, _, d := twoNodes(t)
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Nodes: []string{a.address()}}, `400{"message":"INVALID_OPTION","why":"no option can be changed while the daemon runs"}`},
		{Options{Lookupds: []string{d.address()}}, `200["127.0.0.1:4161"]`},
	} {
		test.o.Config = &oneOption{`[]`}
		_, base := startServer(t, test.o)
		r := send(t, "PUT", base+"/config/nsqlookupd_http_addresses", `["127.0.0.1:4161"]`)
		same(t, "answer", fmt.Sprint(r.status, r.body), test.want)
	}
}

func TestEverythingMovesUnderTheBasePath(t *testing.T) {
	_, _, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address()}, BasePath: "/mq/admin"})
	for path, want := range map[string]int{
		"/mq/admin": 200, "/mq/admin/topics/t/c": 200, "/mq/admin/ping": 200, "/mq/admin/api/topics": 200, "/mq/admin/static/app.js": 200, "/mq/admin/api/q/me": 200,
		"/mq/admin/": 301, "/": 404, "/ping": 404, "/api/topics": 404,
	} {
		if r := get(t, base+path); r.status != want {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := get(t, base+"/mq/admin/nodes"); !strings.Contains(r.body, `<base href="/mq/admin/">`) {
		t.Errorf("index is %s", r.body)
	}
}

func TestActionsAreReportedAsNsqadminReportsThem(t *testing.T) {
	_, _, d := twoNodes(t)
	reports := make(chan object, 10)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o object
		_ = json.NewDecoder(r.Body).Decode(&o)
		o["content-type"] = r.Header.Get("Content-Type")
		reports <- o
	}))
	defer endpoint.Close()
	_, base := startServer(t, Options{Lookupds: []string{d.address()}, NotificationEndpoint: endpoint.URL, Hostname: "here"})
	r, _ := http.NewRequest("POST", base+"/api/topics", strings.NewReader(`{"topic":"t","channel":"k"}`))
	r.SetBasicAuth("maria", "x")
	r.Header.Set("User-Agent", "script")
	r.Header.Set("X-Scheme", "https")
	if _, err := http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"create_topic", "create_channel"} {
		got := <-reports
		if stamp := int64(got["timestamp"].(float64)); time.Since(time.Unix(stamp, 0)) > time.Minute {
			t.Errorf("timestamp %d", stamp)
		}
		if !strings.HasPrefix(got["remote_ip"].(string), "127.0.0.1:") {
			t.Errorf("remote_ip %s", got["remote_ip"])
		}
		delete(got, "timestamp")
		delete(got, "remote_ip")
		want := object{"action": action, "topic": "t", "user": "maria", "user_agent": "script", "via": "here",
			"url": strings.Replace(base, "http:", "https:", 1) + "/api/topics", "content-type": "application/json"}
		if action == "create_channel" {
			want["channel"] = "k"
		}
		same(t, action, got, want)
	}
}

func TestGraphiteRateAndProxy(t *testing.T) {
	queries := make(chan string, 4)
	answer := `[{"target":"x","datapoints":[[120.0,1],[1,2]]}]`
	graphite := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries <- r.URL.RequestURI() + r.Header.Get("Cookie")
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(answer))
	}))
	defer graphite.Close()
	at, _ := url.Parse(graphite.URL)
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}, GraphiteURL: at, ProxyGraphite: true, StatsdInterval: time.Minute})
	same(t, "rate", get(t, base+"/api/graphite?metric=rate&target=a.b").body, `{"rate":"2.00"}`)
	same(t, "asked", <-queries, "/render?format=json&from=-120sec&target=a.b&until=-60sec")
	answer = `[]`
	same(t, "nothing", get(t, base+"/api/graphite?metric=rate&target=a.b").body, `{"rate":"N/A"}`)
	<-queries
	same(t, "proxy", send(t, "GET", base+"/render?target=q", "", "Cookie", "secret=1").body, `[]`)
	same(t, "proxied", <-queries, "/render?target=q")
}

func TestNamesWithAnythingInThemAreData(t *testing.T) {
	evil := `<script>"&'` + "\n"
	a := startNode(t, evil, aTopic(evil, 1, aChannel(evil, 5, 5)))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	r := get(t, base+"/api/q/topics")
	if strings.Contains(r.body, "<script") || r.head.Get("Content-Type") != "application/json; charset=utf-8" || r.head.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v %s", r.head, r.body)
	}
	same(t, "name", at(t, r.decoded(t), "data", "rows", 0, "topic"), evil)
	if strings.Contains(r.body, "\n") {
		t.Error("a newline would end an event")
	}
	r = postJSON(t, base+"/api/q/act", `{"action":"empty_topic","topic":"<script>"}`)
	same(t, "status", r.status, 400)
	if slices.Contains(a.told(), "/topic/empty?topic=%3Cscript%3E") {
		t.Error("it was sent on")
	}
}
