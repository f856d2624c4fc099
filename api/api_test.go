package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/internal/vfs/crashfs"
	"qmq/server"
	"qmq/test/node"
	"qmq/test/wire"
)

// ofTopic are the figures of a topic.
func (r *rig) ofTopic(name string) (f TopicFigures) {
	topics, _ := r.figures.Topics(Filter{Topic: name})
	for t := range topics {
		f = t
	}
	return f
}

func small(o *options) {
	o.MaxMsgSize = 10
	o.MaxBodySize = 40
}

// TestHTTPTable is the table of routes: what each answers, in the order in
// which it looks for mistakes.
func TestHTTPTable(t *testing.T) {
	r := start(t, small)
	r.must("POST", "/topic/create?topic=there", "")
	r.must("POST", "/channel/create?topic=there&channel=ch", "")
	eleven := strings.Repeat("x", 11)
	tests := []struct {
		method, target, body string
		status               int
		want                 string // of an error, the code
	}{
		{"GET", "/ping", "", 200, "OK"},

		{"POST", "/pub?topic=t", "hello", 200, "OK"},
		{"POST", "/pub?topic=t&defer=1000", "hello", 200, "OK"},
		{"POST", "/pub?topic=a&topic=$", "first counts", 413, "MSG_TOO_BIG"},
		{"POST", "/pub?topic=a&topic=$", "first", 200, "OK"},
		{"POST", "/pub?%", eleven, 413, "MSG_TOO_BIG"},
		{"POST", "/pub?%", "", 400, "MSG_EMPTY"},
		{"POST", "/pub?topic=%zz", "x", 400, "INVALID_REQUEST"},
		{"POST", "/pub?a;b", "x", 400, "INVALID_REQUEST"},
		{"POST", "/pub", "x", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/pub?topic=", "x", 400, "INVALID_TOPIC"},
		{"POST", "/pub?topic=$&defer=x", "x", 400, "INVALID_TOPIC"},
		{"POST", "/pub?topic=t&defer=x", "x", 400, "INVALID_DEFER"},
		{"POST", "/pub?topic=t&defer=-1", "x", 400, "INVALID_DEFER"},
		{"POST", "/pub?topic=t&defer=3600001", "x", 400, "INVALID_DEFER"},
		{"POST", "/pub?topic=t&defer=3600000", "x", 200, "OK"},

		{"POST", "/mpub?topic=m", "a\nb\r\n\n\nc", 200, "OK"},
		{"POST", "/mpub?topic=m", "", 200, "OK"},
		{"POST", "/mpub?topic=m", "\n\n", 200, "OK"},
		{"POST", "/mpub?%", strings.Repeat("x\n", 21), 413, "BODY_TOO_BIG"},
		{"POST", "/mpub?topic=%zz", "x", 400, "INVALID_REQUEST"},
		{"POST", "/mpub", "x", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/mpub?topic=$", eleven, 400, "INVALID_TOPIC"},
		{"POST", "/mpub?topic=m", "a\n" + eleven, 413, "MSG_TOO_BIG"},
		{"POST", "/mpub?topic=m&binary=true", wire.Size(2) + wire.Sized("a") + wire.Sized("b") + "ignored", 200, "OK"},
		{"POST", "/mpub?topic=m&binary=1", wire.Size(1) + wire.Sized("a"), 200, "OK"},
		{"POST", "/mpub?topic=m&binary=", wire.Size(1) + wire.Sized("a"), 200, "OK"},
		{"POST", "/mpub?topic=m&binary=maybe", wire.Size(1) + wire.Sized("a"), 200, "OK"},
		{"POST", "/mpub?topic=m&binary=false", "text", 200, "OK"},
		{"POST", "/mpub?topic=m&binary=0", "text", 200, "OK"},
		{"POST", "/mpub?topic=m&binary=true", "", 413, "BAD_BODY"},
		{"POST", "/mpub?topic=m&binary=true", "ab", 413, "BAD_BODY"},
		{"POST", "/mpub?topic=m&binary=true", wire.Size(0), 413, "BAD_BODY"},
		{"POST", "/mpub?topic=m&binary=true", wire.Size(1) + wire.Size(0), 413, "BAD_MESSAGE"},
		{"POST", "/mpub?topic=m&binary=true", wire.Size(1) + wire.Sized(eleven), 413, "BAD_MESSAGE"},
		{"POST", "/mpub?topic=m&binary=true", wire.Size(2) + wire.Sized("a"), 413, "BAD_MESSAGE"},
		{"POST", "/mpub?topic=m&binary=true", wire.Size(1) + wire.Size(5) + "abc", 413, "BAD_MESSAGE"},

		{"GET", "/stats?%zz", "", 400, "INVALID_REQUEST"},

		{"POST", "/topic/create?topic=there", "", 200, ""},
		{"POST", "/topic/create?%zz", "", 400, "INVALID_REQUEST"},
		{"POST", "/topic/create", "", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/create?topic=$", "", 400, "INVALID_TOPIC"},
		{"POST", "/topic/empty", "", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/empty?topic=$", "", 400, "INVALID_TOPIC"},
		{"POST", "/topic/empty?topic=absent", "", 404, "TOPIC_NOT_FOUND"},
		{"POST", "/topic/empty?topic=there", "", 200, ""},
		{"POST", "/topic/pause", "", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/pause?topic=$", "", 404, "TOPIC_NOT_FOUND"},
		{"POST", "/topic/pause?topic=there", "", 200, ""},
		{"POST", "/topic/unpause", "", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/unpause?topic=absent", "", 404, "TOPIC_NOT_FOUND"},
		{"POST", "/topic/unpause?topic=there", "", 200, ""},
		{"POST", "/topic/delete", "", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/delete?topic=$", "", 404, "TOPIC_NOT_FOUND"},

		{"POST", "/channel/create?topic=there&channel=ch", "", 200, ""},
		{"POST", "/channel/create?topic=there&channel=new%23ephemeral", "", 200, ""},
		{"POST", "/channel/pause?topic=there&channel=ch", "", 200, ""},
		{"POST", "/channel/unpause?topic=there&channel=ch", "", 200, ""},
		{"POST", "/channel/empty?topic=there&channel=ch", "", 200, ""},
		{"POST", "/channel/delete?topic=there&channel=ch", "", 200, ""},
		{"POST", "/channel/delete?topic=there&channel=ch", "", 404, "CHANNEL_NOT_FOUND"},
		{"POST", "/channel/empty?topic=there&channel=ch", "", 404, "CHANNEL_NOT_FOUND"},
		{"POST", "/channel/pause?topic=there&channel=ch", "", 404, "CHANNEL_NOT_FOUND"},
		{"POST", "/channel/unpause?topic=there&channel=ch", "", 404, "CHANNEL_NOT_FOUND"},
		{"POST", "/topic/delete?topic=there", "", 200, ""},
		{"POST", "/topic/delete?topic=there", "", 404, "TOPIC_NOT_FOUND"},

		{"GET", "/nothing", "", 404, "NOT_FOUND"},
		{"GET", "/pub?topic=t", "", 405, "METHOD_NOT_ALLOWED"},
		{"HEAD", "/ping", "", 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/stats", "", 405, "METHOD_NOT_ALLOWED"},
		{"PUT", "/debug/setblockrate?rate=0", "", 200, ""},
		{"POST", "/debug/freememory", "", 200, ""},
	}
	for _, route := range []string{"create", "delete", "empty", "pause", "unpause"} {
		for _, c := range []struct {
			query, code string
			status      int
		}{
			{"", "MISSING_ARG_TOPIC", 400},
			{"topic=$", "INVALID_ARG_TOPIC", 400},
			{"topic=absent", "MISSING_ARG_CHANNEL", 400},
			{"topic=absent&channel=$", "INVALID_ARG_CHANNEL", 400},
			{"topic=absent&channel=ch", "TOPIC_NOT_FOUND", 404},
		} {
			tests = append(tests, struct {
				method, target, body string
				status               int
				want                 string
			}{"POST", "/channel/" + route + "?" + c.query, "", c.status, c.code})
		}
	}
	for _, test := range tests {
		w := r.call(test.method, test.target, test.body)
		want, kind := test.want, "text/plain; charset=utf-8"
		if test.status != 200 {
			want, kind = fmt.Sprintf(`{"message":%q}`, test.want), "application/json; charset=utf-8"
		}
		if test.want == "INVALID_DEFER" {
			want = `{"allowed":"0 to 3600000 ms","message":"INVALID_DEFER"}`
		}
		if test.want == "METHOD_NOT_ALLOWED" {
			path, _, _ := strings.Cut(test.target, "?")
			want = fmt.Sprintf(`{"message":"METHOD_NOT_ALLOWED","why":"%s takes %s, not %s"}`, path, strings.Trim(strings.ReplaceAll(w.Header().Get("Allow"), "OPTIONS", ""), ", "), test.method)
		}
		if want == "" {
			kind = ""
		}
		if w.Code != test.status || w.Body.String() != want {
			t.Errorf("%s %s %.20q: %d %s, want %d %s", test.method, test.target, test.body, w.Code, w.Body, test.status, want)
		}
		if got := w.Header().Get("Content-Type"); got != kind {
			t.Errorf("%s %s: type %q, want %q", test.method, test.target, got, kind)
		}
		enveloped := !strings.HasPrefix(test.target, "/debug/") && (test.target != "/ping" || test.status != 200)
		if got := w.Header().Get("X-NSQ-Content-Type") == "nsq; version=1.0"; got != enveloped {
			t.Errorf("%s %s: NSQ header %v", test.method, test.target, got)
		}
	}
	if _, ok := r.broker.Existing("absent"); ok {
		t.Error("a topic was created by a channel's route")
	}
	stats := r.ofTopic("m")
	if want := uint64(3 + 2 + 3 + 2); stats.MessageCount != want {
		t.Errorf("%d messages by /mpub, want %d", stats.MessageCount, want)
	}
	if stats := r.ofTopic("t"); stats.MessageCount != 3 {
		t.Errorf("%d messages by /pub, want 3", stats.MessageCount)
	}
}

func TestAllowedMethodsAreNamed(t *testing.T) {
	r := start(t)
	for _, method := range []string{"GET", "OPTIONS"} {
		w := r.call(method, "/pub", "")
		if allow := w.Header().Get("Allow"); !strings.Contains(allow, "POST") {
			t.Errorf("%s: Allow is %q", method, allow)
		}
		if method == "OPTIONS" && (w.Code != 200 || w.Body.Len() != 0) {
			t.Errorf("OPTIONS: %d %s", w.Code, w.Body)
		}
	}
}

func TestTextBatchKeepsCarriageReturns(t *testing.T) {
	r := start(t)
	r.must("POST", "/mpub?topic=t", "a\r\nb\n")
	k := r.consume("t", "ch", 5)
	for _, want := range []string{"a\r", "b"} {
		if m := k.Message(); m.Body != want {
			t.Errorf("got %q, want %q", m.Body, want)
		}
	}
}

func TestPublishWithoutLengthIsBounded(t *testing.T) {
	r := start(t, small)
	for target, code := range map[string]string{"/pub?topic=t": "MSG_TOO_BIG", "/mpub?topic=t": "BODY_TOO_BIG", "/mpub?topic=t&binary=1": "BAD_BODY"} {
		q := httptest.NewRequest("POST", target, io.MultiReader(strings.NewReader(strings.Repeat("x\n", 100))))
		q.ContentLength = -1
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, q)
		if w.Code != 413 || w.Body.String() != `{"message":"`+code+`"}` {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestUnreadableBodyIsAnInternalError(t *testing.T) {
	r := start(t)
	for _, target := range []string{"/pub?topic=t", "/mpub?topic=t"} {
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, httptest.NewRequest("POST", target, io.MultiReader(strings.NewReader("half"), broken{})))
		if w.Code != 500 || w.Body.String() != `{"message":"INTERNAL_ERROR"}` {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestCrashedRequestIsAnInternalError(t *testing.T) {
	r := start(t)
	r.figures.broker = nil
	if w := r.call("GET", "/stats", ""); w.Code != 500 || w.Body.String() != `{"message":"INTERNAL_ERROR"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What the journal cannot be told does not happen, and the answer says why.
func TestRefusedChangeOfTheTopologySaysWhy(t *testing.T) {
	disk := crashfs.New(1)
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.FS = disk }))
	r.must("POST", "/topic/create?topic=there", "")
	r.must("POST", "/channel/create?topic=there&channel=c", "")
	disk.Fail(func(op crashfs.Op, name string) error {
		if strings.Contains(name, "/journal/") {
			return errors.New("too many open files")
		}
		return nil
	})
	defer disk.Fail(nil)
	for _, target := range []string{
		"/topic/create?topic=new", "/topic/pause?topic=there", "/topic/delete?topic=there",
		"/channel/create?topic=there&channel=new", "/channel/pause?topic=there&channel=c", "/channel/delete?topic=there&channel=c",
	} {
		if w := r.call("POST", target, ""); w.Code != 503 || !strings.Contains(w.Body.String(), "too many open files") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestRefusedPublishOverHTTPSaysWhy(t *testing.T) {
	r, fail := failingDisk(t)
	r.must("POST", "/pub?topic=disk", "a")
	fail(true)
	for _, target := range []string{"/pub?topic=disk", "/mpub?topic=disk"} {
		w := r.call("POST", target, "b")
		if w.Code != 503 || !strings.Contains(w.Body.String(), "no space left on device") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	w := r.call("GET", "/ping", "")
	if w.Code != 500 || !strings.HasPrefix(w.Body.String(), "NOK - ") || !strings.Contains(w.Body.String(), "no space left on device") {
		t.Errorf("/ping: %d %s", w.Code, w.Body)
	}
	var stats struct{ Health string }
	json.Unmarshal([]byte(r.must("GET", "/stats?format=json", "")), &stats)
	if stats.Health != w.Body.String() {
		t.Errorf("health is %q", stats.Health)
	}
	fail(false)
	eventually(t, func() bool { return r.call("GET", "/ping", "").Body.String() == "OK" })
}

func TestPublishToAClosingBrokerSaysExiting(t *testing.T) {
	o := node.Options()
	o.FS = crashfs.New(1)
	if err := o.FS.MkdirAll(o.DataPath); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, b)
	c := r.connect(wire.Pub("t", "x"))
	c.Expect("OK")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if w := r.call("POST", "/pub?topic=t", "x"); w.Code != 503 || w.Body.String() != `{"message":"EXITING"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	c.Send(wire.Pub("t", "x") + wire.MPub("t", "x") + wire.DPub("u", 1, "x"))
	c.ExpectError("E_PUB_FAILED PUB failed exiting")
	c.ExpectError("E_MPUB_FAILED MPUB failed exiting")
	c.ExpectError("E_DPUB_FAILED DPUB failed exiting")
	c.Send("SUB t ch\n")
	c.ExpectError("E_SUB_FAILED SUB failed exiting")
	c.ExpectEnd()
}

func TestInfo(t *testing.T) {
	r := start(t, func(o *options) { o.Info.Hostname, o.Info.BroadcastAddress = "host", "elsewhere" })
	_, port, _ := net.SplitHostPort(r.address)
	want := fmt.Sprintf(`{"version":"2.0.0","broadcast_address":"elsewhere","hostname":"host","http_port":4151,"tcp_port":%s,`+
		`"start_time":%d,"max_heartbeat_interval":60000000000,"max_output_buffer_size":65536,"max_output_buffer_timeout":30000000000,`+
		`"max_deflate_level":6,"topology_zone":"","topology_region":""}`, port, r.broker.StartTime().Unix())
	if got := r.must("GET", "/info", ""); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWithoutConfigThereIsNoSuchPath(t *testing.T) {
	if w := start(t).call("GET", "/config/log_level", ""); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOverSockets: what only a real connection shows.
func TestOverSockets(t *testing.T) {
	r := start(t, small)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.http.Serve(l) }()
	ask := func(request string) *http.Response {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(wire.Timeout))
		io.WriteString(conn, request)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	if got := ask("  V2" + wire.Identify("{}")).StatusCode; got != 400 {
		t.Errorf("the V2 magic is answered %d", got)
	}
	// Announced far too much and sent nothing of it.
	if got := ask("POST /pub?topic=t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000000\r\n\r\n").StatusCode; got != 413 {
		t.Errorf("a huge length is answered %d", got)
	}
	if got := ask("POST /topic/create?topic=t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"); got.StatusCode != 200 || got.ContentLength != 0 {
		t.Errorf("create is answered %d with length %d", got.StatusCode, got.ContentLength)
	}
	if got := ask("GET /debug/pprof/goroutine?debug=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").StatusCode; got != 200 {
		t.Errorf("a profile is answered %d", got)
	}
	if err := r.http.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestTopologyIsCountedAndShown(t *testing.T) {
	r := start(t, func(o *options) {
		o.sessions.TopologyRegion, o.sessions.TopologyZone, o.sessions.TopologyAware = "r", "z", true
		o.Options = OptionsFor(&o.sessions)
	})
	for _, who := range []string{`"topology_zone":"z","topology_region":"r"`, `"topology_zone":"a","topology_region":"r"`, `"topology_zone":"z","topology_region":"b"`} {
		c := r.connect(wire.Identify("{"+who+"}"), "SUB t ch\nRDY 1\n")
		c.Expect("OK", "OK")
		r.must("POST", "/pub?topic=t", "x")
		c.Message()
		defer c.Close()
	}
	stats := r.must("GET", "/stats?format=json", "")
	if want := `"zone_local_msg_count":2,"region_local_msg_count":1,`; !strings.Contains(stats, want) {
		t.Errorf("%s is not in %s", want, stats)
	}
	if info := r.must("GET", "/info", ""); !strings.HasSuffix(info, `"topology_zone":"z","topology_region":"r"}`) {
		t.Error(info)
	}
}

// TestWhatWasAgreedOnIsShown of clients with TLS, a compression, a sample rate and
// an identity.
func TestWhatWasAgreedOnIsShown(t *testing.T) {
	c := server.Client{SampleRate: 20, Snappy: true, TLS: &server.TLS{Version: "TLS1.3", CipherSuite: "C", Mutual: true}, Identity: &server.Identity{Name: "joe", URL: "http://joe"}}
	text, err := json.Marshal(ofClient(&c))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"sample_rate":20,"deflate":false,"snappy":true`,
		`"authed":true,"auth_identity":"joe","auth_identity_url":"http://joe"`,
		`"tls":true,"tls_cipher_suite":"C","tls_version":"TLS1.3","tls_negotiated_protocol":"","tls_negotiated_protocol_is_mutual":true`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

func TestTailChannelIsRefusedWhereABacklogWaits(t *testing.T) {
	r := start(t)
	r.must("POST", "/pub?topic=t", "x")
	const target = "/channel/create?topic=t&channel=look%23ephemeral&tail=true"
	if w := r.call("POST", target, ""); w.Code != 409 || !strings.HasPrefix(w.Body.String(), `{"message":"TAIL_REFUSED","why":"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r.must("POST", "/channel/create?topic=t&channel=first", "")
	r.must("POST", target, "")
}
