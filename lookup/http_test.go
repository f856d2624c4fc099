package lookup

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// asProducer is how a node that joined shows up in answers.
func asProducer(n *nodeConn, host string) string {
	return fmt.Sprintf(`{"remote_address":%q,"hostname":"h","broadcast_address":%q,"tcp_port":1,"http_port":2,"version":"1.3.0","topology_zone":"z","topology_region":"r"`,
		n.LocalAddr(), host)
}

func TestAnswersHaveTheKeysOfNsqlookupdInOrder(t *testing.T) {
	d := openDirectory(t)
	d.want("/ping", "OK")
	d.want("/info", `{"version":"2.0.0"}`)
	d.want("/topics", `{"topics":[]}`)
	d.want("/channels?topic=t", `{"channels":[]}`)
	d.want("/nodes", `{"producers":[]}`)
	d.want("/debug", `{}`)
	b := d.join("b")
	b.tell("REGISTER t two", "REGISTER t one", "REGISTER s")
	a := d.join("a")
	a.tell("REGISTER t one")
	d.post("/topic/tombstone?topic=t&node=b:2")
	d.want("/topics", `{"topics":["s","t"]}`)
	d.want("/channels?topic=t", `{"channels":["one","two"]}`)
	d.want("/lookup?topic=t", `{"channels":["one","two"],"producers":[`+asProducer(a, "a")+`}]}`)
	d.want("/nodes", `{"producers":[`+asProducer(a, "a")+`,"tombstones":[false],"topics":["t"]},`+
		asProducer(b, "b")+`,"tombstones":[false,true],"topics":["s","t"]}]}`)
}

func TestDebugShowsEveryRegistrationWithProducers(t *testing.T) {
	d := openDirectory(t)
	n := d.join("a")
	n.tell("REGISTER t c")
	d.post("/topic/create?topic=empty")
	entry := fmt.Sprintf(`[{"id":%q,"hostname":"h","broadcast_address":"a","tcp_port":1,"http_port":2,"version":"1.3.0",`+
		`"topology_zone":"z","topology_region":"r","last_update":1700000000000000000,"tombstoned":%%v,"tombstoned_at":%%d}]`, n.LocalAddr())
	alive := fmt.Sprintf(entry, false, int64(-6795364578871345152))
	d.want("/debug", `{"client::":`+alive+`,"channel:t:c":`+alive+`,"topic:t:":`+alive+`}`)
	d.clock.advance(time.Second)
	d.post("/topic/tombstone?topic=t&node=a:2")
	d.want("/debug", `{"client::":`+alive+`,"channel:t:c":`+alive+`,"topic:t:":`+fmt.Sprintf(entry, true, int64(1700000001000000000))+`}`)
	d.clock.advance(time.Minute)
	d.want("/debug", `{"client::":`+alive+`,"channel:t:c":`+alive+`,"topic:t:":`+fmt.Sprintf(entry, false, int64(1700000001000000000))+`}`)
}

func TestRefusals(t *testing.T) {
	d := openDirectory(t)
	d.post("/topic/create?topic=t")
	for _, test := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"GET", "/nothing", 404, "NOT_FOUND"},
		{"POST", "/lookup?topic=t", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/topic/create?topic=t", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/channels", 400, "MISSING_ARG_TOPIC"},
		{"GET", "/channels?topic=%zz", 400, "INVALID_REQUEST"},
		{"GET", "/lookup?topic=a;b", 400, "INVALID_REQUEST"},
		{"GET", "/lookup", 400, "MISSING_ARG_TOPIC"},
		{"GET", "/lookup?topic=", 404, "TOPIC_NOT_FOUND"},
		{"GET", "/lookup?topic=unknown", 404, "TOPIC_NOT_FOUND"},
		{"GET", "/lookup?topic=*", 404, "TOPIC_NOT_FOUND"},
		{"POST", "/topic/create", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/create?topic=", 400, "INVALID_ARG_TOPIC"},
		{"POST", "/topic/create?topic=*", 400, "INVALID_ARG_TOPIC"},
		{"POST", "/topic/delete", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/tombstone?node=a:1", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/topic/tombstone?topic=t", 400, "MISSING_ARG_NODE"},
		{"POST", "/channel/create?channel=c", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/channel/create?topic=$&channel=$", 400, "INVALID_ARG_TOPIC"},
		{"POST", "/channel/create?topic=t", 400, "MISSING_ARG_CHANNEL"},
		{"POST", "/channel/create?topic=t&channel=$", 400, "INVALID_ARG_CHANNEL"},
		{"POST", "/channel/delete?channel=c", 400, "MISSING_ARG_TOPIC"},
		{"POST", "/channel/delete?topic=$&channel=c", 400, "INVALID_ARG_TOPIC"},
		{"POST", "/channel/delete?topic=t", 400, "MISSING_ARG_CHANNEL"},
		{"POST", "/channel/delete?topic=t&channel=$", 400, "INVALID_ARG_CHANNEL"},
		{"POST", "/channel/delete?topic=t&channel=c", 404, "CHANNEL_NOT_FOUND"},
		{"POST", "/channel/delete?topic=unknown&channel=c", 404, "CHANNEL_NOT_FOUND"},
		{"GET", "/config/log_level", 404, "NOT_FOUND"}, // without options there are none to show
	} {
		status, body := d.request(test.method, test.target)
		if want := `{"message":"` + test.code + `"`; status != test.status || !strings.HasPrefix(body, want) || test.status != 405 && body != want+"}" {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.target, status, body, test.status, want)
		}
	}
	d.want("/topics", `{"topics":["t"]}`)
}

func TestHTTPCreatesAndDeletesNames(t *testing.T) {
	d := openDirectory(t)
	d.post("/topic/create?topic=t")
	d.post("/topic/create?topic=t")
	d.post("/channel/create?topic=u&channel=c")
	d.post("/channel/create?topic=u%23ephemeral&channel=c%23ephemeral")
	d.want("/topics", `{"topics":["t","u","u#ephemeral"]}`)
	d.want("/lookup?topic=u", `{"channels":["c"],"producers":[]}`)
	n := d.join("a")
	n.tell("REGISTER u c", "REGISTER u d", "UNREGISTER u#ephemeral c#ephemeral")
	d.want("/channels?topic=u%23ephemeral", `{"channels":[]}`)
	d.post("/channel/delete?topic=u&channel=c")
	d.want("/lookup?topic=u", `{"channels":["d"],"producers":[`+asProducer(n, "a")+`}]}`)
	d.post("/topic/delete?topic=u")
	d.post("/topic/delete?topic=unknown")
	d.post("/topic/delete?topic=*")
	d.want("/topics", `{"topics":["t","u#ephemeral"]}`)
	d.want("/channels?topic=u", `{"channels":[]}`)
	d.want("/nodes", `{"producers":[`+asProducer(n, "a")+`,"tombstones":[],"topics":[]}]}`)
	n.tell("UNREGISTER u", "UNREGISTER u d", "REGISTER u d") // deleted, then published to again
	d.want("/lookup?topic=u", `{"channels":["d"],"producers":[`+asProducer(n, "a")+`}]}`)
}

func TestLastUnregistrationLeavesDurableNamesOnly(t *testing.T) {
	d := openDirectory(t)
	n := d.join("a")
	n.tell("REGISTER t c", "REGISTER t e#ephemeral", "REGISTER x#ephemeral c", "REGISTER u")
	n.tell("UNREGISTER t e#ephemeral", "UNREGISTER t c", "UNREGISTER t never")
	d.want("/lookup?topic=t", `{"channels":["c"],"producers":[`+asProducer(n, "a")+`}]}`)
	n.tell("UNREGISTER t", "UNREGISTER x#ephemeral", "UNREGISTER unknown")
	d.want("/lookup?topic=t", `{"channels":["c"],"producers":[]}`)
	d.want("/topics", `{"topics":["t","u"]}`)
}

func TestTombstoneHidesAProducerFromOneTopicForItsLifetime(t *testing.T) {
	d := openDirectory(t)
	a, b := d.join("a"), d.join("b")
	a.tell("REGISTER t c", "REGISTER u")
	b.tell("REGISTER t c")
	d.post("/topic/tombstone?topic=t&node=a:2")
	d.post("/topic/tombstone?topic=t&node=a:1") // there is no such node
	d.post("/topic/tombstone?topic=unknown&node=a:2")
	hosts := func(want string) {
		t.Helper()
		if got := d.hosts("t"); got != want {
			t.Errorf("t is at %q, want %q", got, want)
		}
	}
	hosts("b")
	if got := d.hosts("u"); got != "a" {
		t.Errorf("u is at %q", got)
	}
	a.tell("REGISTER t c", "REGISTER t other", "PING") // that does not clear it
	d.clock.advance(45*time.Second - 1)
	hosts("b")
	d.clock.advance(1)
	hosts("a b")
	d.post("/topic/tombstone?topic=t&node=a:2")
	hosts("b")
	a.tell("UNREGISTER t", "REGISTER t") // the topic was created again there
	hosts("a b")
	d.post("/topic/tombstone?topic=t&node=a:2")
	a.tell("UNREGISTER t")
	d.clock.advance(time.Minute)
	hosts("b")
}

func TestProducersNotHeardOfAreHiddenUntilTheyPing(t *testing.T) {
	d := openDirectory(t)
	n := d.join("a")
	n.tell("REGISTER t")
	d.clock.advance(5 * time.Minute)
	if got := d.hosts("t"); got != "a" {
		t.Errorf("t is at %q", got)
	}
	d.clock.advance(1)
	d.want("/lookup?topic=t", `{"channels":[],"producers":[]}`)
	d.want("/nodes", `{"producers":[]}`)
	n.tell("REGISTER t")
	if got := d.hosts("t"); got != "" {
		t.Errorf("t is at %q", got)
	}
	n.tell("PING")
	if got := d.hosts("t"); got != "a" {
		t.Errorf("t is at %q", got)
	}
}

// httpServer serves the API on a socket.
func (d *directory) httpServer() (address string) {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.http.Serve(l) }()
	d.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		d.http.Close(ctx)
		if err := <-served; err != nil {
			d.t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestEnvelopeOfAnswersOverASocket(t *testing.T) {
	d := openDirectory(t)
	d.post("/topic/create?topic=t")
	address := d.httpServer()
	for target, want := range map[string][2]string{
		"/ping":                 {"text/plain; charset=utf-8", ""},
		"/topics":               {"application/json; charset=utf-8", "nsq; version=1.0"},
		"/debug":                {"application/json; charset=utf-8", "nsq; version=1.0"},
		"/lookup?topic=unknown": {"application/json; charset=utf-8", "nsq; version=1.0"},
		"/debug/pprof":          {"text/html; charset=utf-8", ""},
		"/debug/pprof/cmdline":  {"text/plain; charset=utf-8", ""},
	} {
		response, err := http.Get("http://" + address + target)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := [2]string{response.Header.Get("Content-Type"), response.Header.Get("X-NSQ-Content-Type")}; got != want {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestHTTPClientThatDoesNotReadHoldsNoLock: registrations go on while answers
// of any size wait for it.
func TestHTTPClientThatDoesNotReadHoldsNoLock(t *testing.T) {
	d := openDirectory(t)
	n := d.join("a")
	for i := range 10_000 {
		d.db.createTopic(fmt.Sprintf("%s-%d", strings.Repeat("t", 50), i))
	}
	p := d.db.producerList()[0]
	for _, topic := range d.db.topicNames() {
		p.register(topic, "")
	}
	address := d.httpServer()
	for _, target := range []string{"/debug", "/nodes", "/topics"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(testTimeout))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target)
		if line, err := bufio.NewReaderSize(conn, 16).ReadString(' '); err != nil || line != "HTTP/1.1 " { // the answer has begun
			t.Fatal(line, err)
		}
	}
	for i := range 1000 {
		n.tell(fmt.Sprintf("REGISTER new-%d", i))
	}
	if status, body := d.request("GET", "/debug"); status != 200 || !json.Valid([]byte(body)) || strings.Count(body, `"topic:`) != 11_000 {
		t.Errorf("%d, %d bytes", status, len(body))
	}
}
