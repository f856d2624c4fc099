package semantics

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"qmq/api"
	"qmq/config"
	"qmq/test/wire"
)

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"
	nsqType  = "nsq; version=1.0"
)

// TestEnvelope: what surrounds the answers of each kind.
func TestEnvelope(t *testing.T) {
	n := start(t)
	for _, test := range []struct {
		method, target, body string
		status               int
		want                 string // a prefix, if it ends in …
		kind, nsq            string
	}{
		{"GET", "/info", "", 200, `{"version":…`, jsonType, nsqType},
		{"GET", "/stats?format=json", "", 200, `{"version":…`, jsonType, nsqType},
		{"GET", "/stats", "", 200, "qd v…", textType, nsqType},
		{"POST", "/pub?topic=t", "x", 200, "OK", textType, nsqType},
		{"POST", "/mpub?topic=t", "x\ny", 200, "OK", textType, nsqType},
		{"POST", "/topic/create?topic=t", "", 200, "", "", nsqType},
		{"POST", "/channel/create?topic=t&channel=c%23ephemeral", "", 200, "", "", nsqType},
		{"POST", "/topic/create", "", 400, `{"message":"MISSING_ARG_TOPIC"}`, jsonType, nsqType},
		{"POST", "/topic/delete?topic=absent", "", 404, `{"message":"TOPIC_NOT_FOUND"}`, jsonType, nsqType},
		{"GET", "/absent", "", 404, `{"message":"NOT_FOUND"}`, jsonType, nsqType},
		{"GET", "/", "", 404, `{"message":"NOT_FOUND"}`, jsonType, nsqType},
		{"GET", "/pub?topic=t", "", 405, `{"message":"METHOD_NOT_ALLOWED","why":"/pub takes POST, not GET"}`, jsonType, nsqType},
		{"GET", "/ping", "", 200, "OK", textType, ""},
		{"PUT", "/debug/setblockrate?rate=0", "", 200, "…", "", ""},
		{"PUT", "/debug/setblockrate?rate=x", "", 400, "invalid block rate : …", textType, ""},
		{"POST", "/debug/freememory", "", 200, "…", "", ""},
	} {
		r := n.call(test.method, test.target, test.body)
		prefix, open := strings.CutSuffix(test.want, "…")
		if r.status != test.status || !strings.HasPrefix(r.body, prefix) || !open && r.body != test.want {
			t.Errorf("%s %s: %d %.100q", test.method, test.target, r.status, r.body)
		}
		if got := r.header.Get("Content-Type"); got != test.kind && !strings.HasPrefix(test.target, "/debug/") {
			t.Errorf("%s %s: type %q, want %q", test.method, test.target, got, test.kind)
		}
		if got := r.header.Get("X-NSQ-Content-Type"); got != test.nsq {
			t.Errorf("%s %s: NSQ type %q, want %q", test.method, test.target, got, test.nsq)
		}
		if r.length >= 0 && r.length != int64(len(r.body)) || r.body == "" && r.length != 0 || strings.HasSuffix(r.body, "}\n") {
			t.Errorf("%s %s: length %d of %.100q", test.method, test.target, r.length, r.body)
		}
	}
}

var methodsOf = map[string]string{
	"/ping": "GET", "/info": "GET", "/stats": "GET", "/pub": "POST", "/mpub": "POST",
	"/topic/create": "POST", "/topic/delete": "POST", "/topic/empty": "POST", "/topic/pause": "POST", "/topic/unpause": "POST",
	"/channel/create": "POST", "/channel/delete": "POST", "/channel/empty": "POST", "/channel/pause": "POST", "/channel/unpause": "POST",
	"/config/id": "GET, PUT", "/debug/freememory": "POST", "/debug/setblockrate": "PUT",
	"/debug/pprof/": "GET", "/debug/pprof/cmdline": "GET", "/debug/pprof/symbol": "GET, POST", "/debug/pprof/heap": "GET",
}

// TestWrongMethodsAreToldTheRightOnes on every route, and OPTIONS is answered.
func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	n := start(t, withConfig(t))
	for path, allowed := range methodsOf {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"} {
			if strings.Contains(allowed, method) {
				continue
			}
			r := n.call(method, path, "")
			status := http.StatusMethodNotAllowed
			if method == "OPTIONS" {
				status = http.StatusOK
			}
			if r.status != status {
				t.Errorf("%s %s: %d %s", method, path, r.status, r.body)
			}
			for _, want := range strings.Split(allowed, ", ") {
				if !strings.Contains(r.header.Get("Allow"), want) {
					t.Errorf("%s %s: Allow is %q", method, path, r.header.Get("Allow"))
				}
			}
			if method == "OPTIONS" && r.body != "" {
				t.Errorf("OPTIONS %s: %q", path, r.body)
			}
		}
	}
}

func TestNearlyRightPathsAreRedirected(t *testing.T) {
	n := start(t)
	for _, test := range []struct {
		method, path, to string
		status           int
	}{
		{"GET", "/stats/", "/stats", 301},
		{"GET", "/Stats?topic=t", "/stats?topic=t", 301},
		{"POST", "/pub/?topic=t", "/pub?topic=t", 307},
		{"POST", "/Topic/Create?topic=t", "/topic/create?topic=t", 307},
	} {
		r := n.call(test.method, test.path, "x")
		if r.status != test.status || r.header.Get("Location") != test.to {
			t.Errorf("%s %s: %d to %q", test.method, test.path, r.status, r.header.Get("Location"))
		}
	}
}

// ask sends bytes to the HTTP port and reads one answer.
func (n *node) ask(request string) *http.Response {
	n.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(n.web, "http://"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testTimeout))
	if _, err := io.WriteString(c, request); err != nil {
		n.t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// TestBytesThatAreNotHTTPAreAnswered400 at once.
func TestBytesThatAreNotHTTPAreAnswered400(t *testing.T) {
	n := start(t)
	for _, sent := range []string{"  V2" + wire.Identify(`{"feature_negotiation":true}`), "  V1PING\n", "\x16\x03\x01\x00\xa5\x01\r\n\r\n", "GET\r\n\r\n"} {
		if r := n.ask(sent); r.StatusCode != 400 || r.Proto != "HTTP/1.1" {
			t.Errorf("%q is answered %s %d", sent, r.Proto, r.StatusCode)
		}
	}
	v2 := wire.Open(t, n.address)
	v2.Send("GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	v2.ExpectError("E_BAD_PROTOCOL")
	v2.ExpectEnd()
}

// TestBodiesAreBounded, however they are announced.
func TestBodiesAreBounded(t *testing.T) {
	n := start(t)
	big := strings.Repeat("x", 1<<20)
	n.must("POST", "/pub?topic=t", big)
	head := "Host: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
	for _, test := range []struct{ request, code string }{
		{"POST /pub?topic=t HTTP/1.1\r\n" + fmt.Sprintf(head, 1<<20+1), "MSG_TOO_BIG"},
		{"POST /pub?topic=t HTTP/1.1\r\n" + fmt.Sprintf(head, int64(1)<<60), "MSG_TOO_BIG"},
		{"POST /mpub?topic=t HTTP/1.1\r\n" + fmt.Sprintf(head, 5<<20+1), "BODY_TOO_BIG"},
		{"POST /mpub?topic=t&binary=1 HTTP/1.1\r\n" + fmt.Sprintf(head, 5<<20+1), "BODY_TOO_BIG"},
		{"POST /pub?topic=t HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n" + big + "x\r\n0\r\n\r\n", "MSG_TOO_BIG"},
	} {
		r := n.ask(test.request)
		b, _ := io.ReadAll(r.Body)
		if r.StatusCode != 413 || string(b) != `{"message":"`+test.code+`"}` {
			t.Errorf("%.60q: %d %s", test.request, r.StatusCode, b)
		}
	}
	if s := n.topic("t"); s.MessageCount != 1 || s.MessageBytes != 1<<20 {
		t.Errorf("%+v", s)
	}
}

// TestParametersComeFromTheQueryOnly, of several values the first.
func TestParametersComeFromTheQueryOnly(t *testing.T) {
	n := start(t)
	c := n.ask("POST /topic/create HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\ntopic=t")
	if c.StatusCode != 400 {
		t.Errorf("a form is answered %d", c.StatusCode)
	}
	n.must("POST", "/pub?topic=a&topic=b", "x")
	for _, query := range []string{"topic=%zz", "topic=t;x", "%"} {
		for _, route := range []string{"/topic/create", "/topic/pause", "/channel/create", "/channel/empty"} {
			if r, err := rawQuery(n, "POST", route, query); err != nil || r.status != 400 || r.body != `{"message":"INVALID_REQUEST"}` {
				t.Errorf("%s?%s: %+v, %v", route, query, r, err)
			}
		}
	}
	if s := parseStats(t, n.must("GET", "/stats?format=json", "")); len(s.Topics) != 1 || s.Topics[0].Name != "a" {
		t.Errorf("%+v", s.Topics)
	}
}

// rawQuery sends a query that need not be a valid one.
func rawQuery(n *node, method, path, query string) (reply, error) {
	r := n.ask(method + " " + path + "?" + query + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
	b, err := io.ReadAll(r.Body)
	return reply{status: r.StatusCode, body: string(b)}, err
}

// TestWhatIsPublishedOverHTTPIsDelivered as it was sent.
func TestWhatIsPublishedOverHTTPIsDelivered(t *testing.T) {
	n := start(t)
	n.must("POST", "/pub?topic=t", "one\ntwo\x00\xff")
	n.must("POST", "/mpub?topic=t", "a\r\n\nb\nc")
	n.must("POST", "/mpub?topic=t&binary=true", wire.Size(2)+wire.Sized("with\nnewline")+wire.Sized("x")+"ignored")
	n.must("POST", "/mpub?topic=t", "\n\n")
	n.must("POST", "/mpub?topic=t", "")
	k := n.consume("t", "ch", 100)
	k.Messages("one\ntwo\x00\xff", "a\r", "b", "c", "with\nnewline", "x")
	k.ExpectOpen()
}

// withConfig gives the node the options of a qd.
func withConfig(t *testing.T, args ...string) func(*options) {
	t.Helper()
	settings, err := config.ParseQD(append([]string{"--data-path=" + t.TempDir(), "--node-id=5"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *options) { o.api = func(o *api.Options) { o.Config = settings } }
}

func TestConfigShowsAndChangesOptions(t *testing.T) {
	n := start(t, withConfig(t, "--lookupd-tcp-address=127.0.0.1:1", "--lookupd-tcp-address=127.0.0.1:2", "--tls-min-version=tls1.2", "--log-level=WARN"))
	for _, test := range []struct {
		method, option, body string
		status               int
		want                 string
	}{
		{"GET", "id", "", 200, "5"},
		{"GET", "log_level", "", 200, "3"},
		{"GET", "msg_timeout", "", 200, "60000000000"},
		{"GET", "tcp_address", "", 200, "0.0.0.0:4150"},
		{"GET", "statsd_address", "", 200, ""},
		{"GET", "tls_required", "", 200, "0"},
		{"GET", "tls_min_version", "", 200, "771"},
		{"GET", "snappy", "", 200, "true"},
		{"GET", "nsqlookupd_tcp_addresses", "", 200, `["127.0.0.1:1","127.0.0.1:2"]`},
		{"GET", "no_such", "", 400, `{"message":"INVALID_OPTION","why":"there is no option \"no_such\""}`},
		{"GET", "node-id", "", 400, `{"message":"INVALID_OPTION","why":"there is no option \"node-id\""}`},
		{"PUT", "log_level", "debug", 200, "1"},
		{"GET", "log_level", "", 200, "1"},
		{"PUT", "log_level", "Error", 200, "4"},
		{"PUT", "log_level", "loud", 400, `{"message":"INVALID_VALUE","why":"invalid value: log-level must be debug, info, warn, error or fatal, not \"loud\""}`},
		{"PUT", "log_level", "", 413, `{"message":"INVALID_VALUE"}`},
		{"PUT", "log_level", strings.Repeat("x", 1<<20+1), 413, `{"message":"INVALID_VALUE"}`},
		{"PUT", "nsqlookupd_tcp_addresses", `["127.0.0.1:3"]`, 200, `["127.0.0.1:3"]`},
		{"PUT", "nsqlookupd_tcp_addresses", `127.0.0.1:4`, 400, `{"message":"INVALID_VALUE","why":"invalid value: lookupd-tcp-address must be a JSON array of strings or null, not \"127.0.0.1:4\""}`},
		{"GET", "nsqlookupd_tcp_addresses", "", 200, `["127.0.0.1:3"]`},
		{"PUT", "nsqlookupd_tcp_addresses", `null`, 200, "…"},
		{"PUT", "id", "7", 400, `{"message":"INVALID_OPTION","why":"id cannot be changed while the daemon runs; what can be is log_level, nsqlookupd_tcp_addresses"}`},
		{"PUT", "no_such", "7", 400, `{"message":"INVALID_OPTION","why":"there is no option \"no_such\""}`},
	} {
		r := n.call(test.method, "/config/"+test.option, test.body)
		if r.status != test.status || r.body != test.want && test.want != "…" {
			t.Errorf("%s %s %.20q: %d %s, want %d %s", test.method, test.option, test.body, r.status, r.body, test.status, test.want)
		}
	}
	if r := n.call("GET", "/config/tcp_address", ""); r.header.Get("Content-Type") != textType {
		t.Errorf("text is of type %q", r.header.Get("Content-Type"))
	}
	if r := n.call("GET", "/config/id", ""); r.header.Get("Content-Type") != jsonType {
		t.Errorf("a number is of type %q", r.header.Get("Content-Type"))
	}
}

func TestInfoTellsTheRealPorts(t *testing.T) {
	n := start(t, func(o *options) {
		o.api = func(o *api.Options) { o.Info.Hostname, o.Info.BroadcastAddress = "host", "elsewhere" }
	})
	var info struct {
		BroadcastAddress string `json:"broadcast_address"`
		Hostname         string
		TCPPort          int   `json:"tcp_port"`
		HTTPPort         int   `json:"http_port"`
		StartTime        int64 `json:"start_time"`
	}
	text := n.must("GET", "/info", "")
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		t.Fatal(err)
	}
	if _, port, _ := net.SplitHostPort(n.address); port != fmt.Sprint(info.TCPPort) || !strings.HasSuffix(n.web, fmt.Sprint(":", info.HTTPPort)) ||
		info.Hostname != "host" || info.BroadcastAddress != "elsewhere" || time.Since(time.Unix(info.StartTime, 0)) > time.Minute {
		t.Errorf("%s on %s and %s", text, n.address, n.web)
	}
}
