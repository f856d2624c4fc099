package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qmq/channel"
	"qmq/test/wire"
)

// listen has the API served on a port, until the end of the test.
func (r *rig) listen() (address string) {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.http.Serve(l) }()
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wire.Timeout)
		defer cancel()
		if err := r.http.Close(ctx); err != nil {
			r.t.Error(err)
		}
		if err := <-served; err != nil {
			r.t.Error(err)
		}
	})
	return l.Addr().String()
}

// subAnswer is the answer to /sub.
type subAnswer struct {
	Messages []LeasedMessage `json:"messages"`
	Receipt  string          `json:"receipt"`
	LeaseMs  int64           `json:"lease_ms"`
}

// sub asks for messages.
func (r *rig) sub(query string) (a subAnswer) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.must("POST", "/sub?"+query, "")), &a); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// channelStats are the figures of a channel.
func (r *rig) channelStats(topicName, channelName string) channel.Stats {
	r.t.Helper()
	t, ok := r.broker.Existing(topicName)
	if !ok {
		r.t.Fatal("no topic")
	}
	c, ok := t.ExistingChannel(channelName)
	if !ok {
		r.t.Fatal("no channel")
	}
	return c.Stats()
}

func TestLeasedMessageHasAllThatIsKnownOfIt(t *testing.T) {
	r := start(t)
	r.must("POST", "/pub?topic=t&key=u-1&priority=7", "text <b>")
	r.must("POST", "/pub?topic=t", "\xff\x00")
	a := r.sub("topic=t&channel=c&max=10&lease=600000")
	if len(a.Messages) != 2 || len(a.Receipt) != 16 || a.LeaseMs != 600_000 {
		t.Fatalf("%+v", a)
	}
	first, second := a.Messages[0], a.Messages[1]
	if first.Body != "text <b>" || first.Base64 || first.Key != "u-1" || first.Priority != 7 || first.Attempts != 1 || len(first.Headers) != 2 {
		t.Errorf("%+v", first)
	}
	if second.Body != "/wA=" || !second.Base64 || second.Headers != nil || time.Since(time.Unix(0, second.Timestamp)) > time.Minute {
		t.Errorf("%+v", second)
	}
	if got := r.must("POST", "/fin?topic=t&channel=c&id="+first.ID, second.ID+"\n"); got != fmt.Sprintf(`{"results":[{"id":"%s","ok":true},{"id":"%s","ok":true}]}`, first.ID, second.ID) {
		t.Error(got)
	}
	if s := r.channelStats("t", "c"); s.InFlight != 0 || s.Depth != 0 || len(s.Consumers) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRequeueAndTouchOverHTTP(t *testing.T) {
	r := start(t)
	r.must("POST", "/mpub?topic=t", "a\nb")
	a := r.sub("topic=t&channel=c&max=2")
	one, two := a.Messages[0].ID, a.Messages[1].ID
	r.must("POST", "/touch?topic=t&channel=c&receipt="+a.Receipt+"&id="+one, "")
	r.must("POST", "/req?topic=t&channel=c&id="+one, "")
	r.must("POST", "/req?topic=t&channel=c&defer=60000&id="+two, "")
	if s := r.channelStats("t", "c"); s.InFlight != 0 || s.Depth != 1 || s.Deferred != 1 || s.RequeueCount != 2 {
		t.Errorf("%+v", s)
	}
	if again := r.sub("topic=t&channel=c"); again.Messages[0].ID != one || again.Messages[0].Attempts != 2 {
		t.Errorf("%+v", again)
	}
	w := r.call("POST", "/fin?topic=t&channel=c&id="+two+"&id="+one, "")
	want := fmt.Sprintf(`{"message":"NOT_ALL_DONE","results":[{"id":"%s","ok":false,"error":"NOT_IN_FLIGHT"},{"id":"%s","ok":true}]}`, two, one)
	if w.Code != http.StatusConflict || w.Body.String() != want {
		t.Error(w.Code, w.Body)
	}
}

func TestRefusalsOfThoseWhoConsumeOverHTTPSayWhatIsAllowed(t *testing.T) {
	r := start(t, func(o *options) { o.MaxPolls = 1 })
	for target, want := range map[string]string{
		"/sub?channel=c":                                                 "MISSING_ARG_TOPIC",
		"/sub?topic=t":                                                   "MISSING_ARG_CHANNEL",
		"/sub?topic=$&channel=c":                                         "INVALID_ARG_TOPIC",
		"/sub?topic=t&channel=c&max=0":                                   "INVALID_MAX 1 to 2500",
		"/sub?topic=t&channel=c&max=x":                                   "INVALID_MAX 1 to 2500",
		"/sub?topic=t&channel=c&wait=300001":                             "INVALID_WAIT 0 to 300000 ms",
		"/sub?topic=t&channel=c&lease=0":                                 "INVALID_LEASE 1 to 900000 ms",
		"/sub?topic=t&channel=c&timeout=1":                               "UNKNOWN_PARAMETER",
		"/fin?topic=t&channel=c":                                         "MISSING_ARG_ID",
		"/fin?topic=t&channel=c&id=zz":                                   "INVALID_ARG_ID 16 hexadecimal characters",
		"/fin?topic=t&channel=c&id=1&defer=1":                            "UNKNOWN_PARAMETER",
		"/fin?topic=t&channel=c&receipt=1&id=" + strings.Repeat("0", 16): "INVALID_RECEIPT the 16 hexadecimal characters of the answer to /sub",
		"/req?topic=t&channel=c&defer=-1&id=1":                           "INVALID_DEFER 0 to 3600000 ms",
	} {
		w := r.call("POST", target, "")
		wantBody := `"message":"` + want + `"`
		if code, allowed, ok := strings.Cut(want, " "); ok {
			wantBody = `{"allowed":"` + allowed + `","message":"` + code + `"`
		}
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), wantBody) {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, wantBody)
		}
	}
	if w := r.call("POST", "/sub?topic=t&channel=c", "topic=t"); w.Code != http.StatusRequestEntityTooLarge {
		t.Error(w.Code, w.Body)
	}
	for _, path := range []string{"/sub", "/fin", "/req", "/touch"} {
		if w := r.call("GET", path+"?topic=t&channel=c", ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if len(r.broker.Topics()) != 0 {
		t.Error("a refused request has made a topic")
	}
}

func TestConsumingIsRefusedWhereSessionsAloneAreGuarded(t *testing.T) {
	r := start(t, func(o *options) { o.ConsumeRefused = "guarded" })
	for _, target := range []string{"/sub?topic=t&channel=c", "/fin?topic=t&channel=c&id=0", "/req", "/touch"} {
		if w := r.call("POST", target, ""); w.Code != http.StatusForbidden || w.Body.String() != `{"message":"CONSUME_NOT_ALLOWED","why":"guarded"}` {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestAnswersOfPartsAreReadByMIME(t *testing.T) {
	r := start(t)
	q := httptest.NewRequest("POST", "/pub?topic=t&key=u%0d%0a1", strings.NewReader("\x00\r\n--q"))
	q.Header.Set("X-Q-Header-Color", "red")
	w := httptest.NewRecorder()
	if r.http.ServeHTTP(w, q); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	sub := func() *httptest.ResponseRecorder {
		q := httptest.NewRequest("POST", "/sub?topic=t&channel=c&max=5", nil)
		q.Header.Set("Accept", "text/html, multipart/mixed;q=0.9")
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, q)
		return w
	}
	w = sub()
	kind, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatal(kind, err)
	}
	parts := multipart.NewReader(w.Body, params["boundary"])
	part, err := parts.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(part)
	key, _ := new(mime.WordDecoder).DecodeHeader(part.Header.Get("X-Q-Key"))
	if err != nil || string(body) != "\x00\r\n--q" || part.Header.Get("X-Q-Header-Color") != "red" || key != "u\r\n1" || part.Header.Get("X-Q-Attempts") != "1" {
		t.Errorf("%q %v %v", body, part.Header, err)
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		t.Error(err)
	}
	r.must("POST", "/fin?topic=t&channel=c&receipt="+w.Header().Get("X-Q-Receipt")+"&id="+part.Header.Get("X-Q-Id"), "")
	if w := sub(); w.Code != http.StatusNoContent {
		t.Error(w.Code)
	}
}

// event reads the next event of a stream; comments are left out.
func event(t *testing.T, in *bufio.Reader) (name, data string) {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" && name != "":
			return name, data
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		}
	}
}

func TestEventsComeAsOthersAreFinished(t *testing.T) {
	r := start(t)
	address := r.listen()
	r.must("POST", "/mpub?topic=t", "a\nb\nc")
	q, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/sub?topic=t&channel=c&max=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	in := bufio.NewReader(answer.Body)
	if name, _ := event(t, in); name != "lease" {
		t.Fatal(name)
	}
	for _, want := range []string{"a", "b", "c"} {
		name, data := event(t, in)
		var m LeasedMessage
		if err := json.Unmarshal([]byte(data), &m); err != nil || name != "message" || m.Body != want {
			t.Fatal(name, data, err)
		}
		if s := r.channelStats("t", "c"); s.InFlight != 1 {
			t.Errorf("%+v", s)
		}
		r.must("POST", "/fin?topic=t&channel=c&id="+m.ID, "")
	}
	r.http.Quiesce()
	if name, data := event(t, in); name != "end" || data != `{"message":"EXITING"}` {
		t.Error(name, data)
	}
}

func TestClientThatLeavesWhileItWaitsGetsNothing(t *testing.T) {
	r := start(t)
	address := r.listen()
	for _, request := range []string{
		"POST /sub?topic=t&channel=c&wait=300000 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
		"POST /sub?topic=t&channel=c&wait=300000 HTTP/1.0\r\n\r\n",
		"POST /sub?topic=t&channel=c&wait=300000 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return r.http.Leases().Counts().Polls == 1 })
		conn.Close()
		eventually(t, func() bool { return r.http.Leases().Counts().Polls == 0 })
	}
	r.must("POST", "/pub?topic=t", "a")
	if a := r.sub("topic=t&channel=c"); len(a.Messages) != 1 || a.Messages[0].Attempts != 1 {
		t.Errorf("%+v", a)
	}
}

func TestLongMessagesComeOverHTTP10(t *testing.T) {
	r := start(t, func(o *options) { o.MaxMsgSize, o.MaxBodySize = 6<<20, 6<<20 })
	address := r.listen()
	body := strings.Repeat("x", 5<<20)
	r.must("POST", "/pub?topic=t", body)
	r.must("POST", "/pub?topic=t", "short")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /sub?topic=t&channel=c&max=2 HTTP/1.0\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var a subAnswer
	if err := json.NewDecoder(answer.Body).Decode(&a); err != nil || len(a.Messages) != 1 || a.Messages[0].Body != body {
		t.Error(len(a.Messages), err)
	}
	if s := r.channelStats("t", "c"); s.InFlight != 1 || s.Depth != 1 {
		t.Errorf("%+v", s)
	}
}

// TestAnswerThatCannotBeWrittenIsTakenBack: the client does not read and goes.
func TestAnswerThatCannotBeWrittenIsTakenBack(t *testing.T) {
	r := start(t, func(o *options) { o.MaxMsgSize, o.MaxBodySize = 30<<20, 30<<20 })
	address := r.listen()
	r.must("POST", "/pub?topic=t", strings.Repeat("x", 24<<20)) // more than sockets take
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "POST /sub?topic=t&channel=c HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	eventually(t, func() bool { return r.http.Leases().Counts().Returned == 1 })
	if a := r.sub("topic=t&channel=c"); len(a.Messages) != 1 || a.Messages[0].Attempts != 1 {
		t.Errorf("%d messages", len(a.Messages))
	}
}

func TestRequestThatConsumesIsAClient(t *testing.T) {
	r := start(t)
	r.must("POST", "/pub?topic=t", "a")
	r.sub("topic=t&channel=c&lease=60000")
	var stats struct {
		Topics []struct {
			Channels []struct {
				Clients []ClientFigures `json:"clients"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := json.Unmarshal([]byte(r.must("GET", "/stats?format=json", "")), &stats); err != nil {
		t.Fatal(err)
	}
	clients := stats.Topics[0].Channels[0].Clients
	if len(clients) != 1 || clients[0].Version != "HTTP" || clients[0].RemoteAddress != "127.0.0.1:1234" || clients[0].InFlightCount != 1 || clients[0].MessageCount != 1 {
		t.Errorf("%+v", clients)
	}
	if shown := r.must("GET", "/channel/peek?topic=t&channel=c&state=inflight", ""); !strings.Contains(shown, `"remote_address":"127.0.0.1:1234"`) {
		t.Error(shown)
	}
	r.must("POST", "/client/close?remote_address=127.0.0.1:1234", "")
	if s := r.channelStats("t", "c"); s.InFlight != 0 || s.Depth != 1 || len(s.Consumers) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestConsumersOverHTTPAndTCPShareAChannel(t *testing.T) {
	r := start(t)
	c := r.consume("t", "c", 10)
	r.must("POST", "/mpub?topic=t", strings.Repeat("x\n", 10))
	seen := make(map[string]bool)
	for range 10 {
		seen[c.Message().ID] = true
	}
	r.must("POST", "/mpub?topic=t", strings.Repeat("y\n", 10))
	a := r.sub("topic=t&channel=c&max=10")
	if len(a.Messages) != 10 || len(seen) != 10 {
		t.Errorf("%d over HTTP, %d over TCP", len(a.Messages), len(seen))
	}
	// What is the session's is not for those who come over HTTP to answer.
	for id := range seen {
		if w := r.call("POST", "/fin?topic=t&channel=c&id="+id, ""); w.Code != http.StatusConflict {
			t.Error(w.Code, w.Body)
		}
		break
	}
}

func TestSettingsOfAChannelBoundWhatIsConsumedOverHTTP(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("PUT", "/channel/config?topic=t&channel=c", `{"max_in_flight":3}`)
	r.must("POST", "/mpub?topic=t", "a\nb\nc\nd\ne")
	first := r.sub("topic=t&channel=c&max=2")
	second := r.sub("topic=t&channel=c&max=5")
	if len(first.Messages) != 2 || len(second.Messages) != 1 {
		t.Fatalf("%+v, %+v", first, second)
	}
	if a := r.sub("topic=t&channel=c&max=5&wait=50"); len(a.Messages) != 0 {
		t.Errorf("beside three: %+v", a)
	}
	r.must("POST", "/fin?topic=t&channel=c&id="+first.Messages[0].ID, "")
	if a := r.sub("topic=t&channel=c&max=5&wait=60000"); len(a.Messages) != 1 || a.Messages[0].Body != "d" {
		t.Errorf("one is finished: %+v", a)
	}
}
