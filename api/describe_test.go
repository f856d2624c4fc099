package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// send calls a route with fields, as names and values in turn.
func (r *rig) send(path, body string, fields ...string) *httptest.ResponseRecorder {
	q := httptest.NewRequest("POST", path, strings.NewReader(body))
	for i := 0; i < len(fields); i += 2 {
		q.Header.Add(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, q)
	return w
}

// headersOf are the headers of the messages that a route shows, as "key: value", by body.
func (r *rig) headersOf(path string) map[string][]string {
	r.t.Helper()
	var answer struct {
		Messages []struct {
			Body    []byte
			Headers []struct{ Key, Value string }
		}
	}
	if err := json.Unmarshal([]byte(r.must("GET", path, "")), &answer); err != nil {
		r.t.Fatal(err)
	}
	list := make(map[string][]string)
	for _, m := range answer.Messages {
		list[string(m.Body)] = []string{}
		for _, h := range m.Headers {
			list[string(m.Body)] = append(list[string(m.Body)], h.Key+": "+h.Value)
		}
	}
	return list
}

func (r *rig) wantHeaders(path, body string, want ...string) {
	r.t.Helper()
	if got, ok := r.headersOf(path)[body]; !ok || !slices.Equal(got, want) {
		r.t.Errorf("%s has %q of %s: %v, want %q", path, got, body, ok, want)
	}
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestWhatAPublishSaysOfAMessageIsShown(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/pub?topic=t&key=u-1&priority=7&dedup_id=o-1", "by query")
	for body, fields := range map[string][]string{
		"by field": {"X-Q-Key", "u-1", "X-Q-Priority", "7", "X-Q-Dedup-Id", "o-1"},
		"headers":  {"X-Q-Header-Reply-To", "here", "x-q-header-a", "1", "X-Q-Header-A", "2", "X-Q-Header-Key", "u-2"},
		"traced":   {"Traceparent", traceparent, "tracestate", "a=b"},
	} {
		if w := r.send("/pub?topic=t", body, fields...); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}
	if w := r.send("/mpub?topic=t&key=k", "one\ntwo", "X-Q-Header-A", "1"); w.Code != 200 {
		t.Fatal(w.Body)
	}
	r.must("POST", "/pub?topic=t", "plain")
	for _, path := range []string{"/channel/peek?topic=t&channel=c&limit=100", "/topic/peek?topic=t&limit=100"} {
		r.wantHeaders(path, "by query", "key: u-1", "priority: 7", "dedup-id: o-1")
		r.wantHeaders(path, "by field", "key: u-1", "priority: 7", "dedup-id: o-1")
		r.wantHeaders(path, "headers", "key: u-2", "a: 1", "a: 2", "reply-to: here")
		r.wantHeaders(path, "traced", "traceparent: "+traceparent, "tracestate: a=b")
		r.wantHeaders(path, "one", "key: k", "a: 1")
		r.wantHeaders(path, "two", "key: k", "a: 1")
		r.wantHeaders(path, "plain")
	}
}

func TestWhatAPublishCannotSayIsRefusedWithWhatIsAllowed(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		path   string
		fields []string
		want   string
	}{
		{"/pub?topic=t&key=", nil, `{"message":"INVALID_HEADER","why":"key must be 1 to 255 bytes long, not 0"}`},
		{"/pub?topic=t&key=a", []string{"X-Q-Key", "a"}, "key is there twice"},
		{"/pub?topic=t&priority=10", nil, "priority must be 0 to 9"},
		{"/mpub?topic=t&priority=x", nil, "priority must be 0 to 9"},
		{"/pub?topic=t&dedup_id=", nil, "dedup-id must not be empty"},
		{"/mpub?topic=t", []string{"X-Q-Dedup-Id", "a"}, "dedup-id is that of one message"},
		{"/mpub?topic=t&dedup_id=a", nil, "dedup-id is that of one message"},
		{"/pub?topic=t", []string{"X-Q-Prio", "1"}, `{"known":["X-Q-Key","X-Q-Priority","X-Q-Dedup-Id","X-Q-Header-*"],"message":"UNKNOWN_HEADER","why":"there is no field \"X-Q-Prio\" of a publish"}`},
		{"/pub?topic=t", []string{"X-Q-Header-", "1"}, "UNKNOWN_HEADER"},
		{"/pub?topic=t", []string{"X-Q-Header-A", strings.Repeat("x", 16<<10)}, "more than 16384 bytes"},
		{"/pub?topic=t", []string{"X-Q-Header-A", strings.Repeat("x", 70_000)}, "more than 16384 bytes"},
		{"/pub?topic=t", slices.Repeat([]string{"X-Q-Header-A", "x"}, 65), "more than 64"},
		{"/pub?topic=t", []string{"X-Q-Header-K!!" + strings.Repeat("a", 254), strings.Repeat("v", 8225)}, "a key must be 1 to 255"},
	} {
		if w := r.send(c.path, "x", c.fields...); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %.80q: %d %s, want %s", c.path, c.fields, w.Code, w.Body, c.want)
		}
	}
	if len(r.broker.Topics()) != 0 {
		t.Error("a refused publish has made its topic")
	}
}

func TestWhatIsSaidOfAMessageGoesWithIt(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("PUT", "/channel/config?topic=t&channel=c", `{"max_attempts": 1, "dead_letter_topic": "dead"}`)
	r.must("POST", "/topic/create?topic=moved", "")
	r.must("POST", "/channel/create?topic=moved&channel=c", "")
	r.must("POST", "/pub?topic=t&key=u-1&priority=7&dedup_id=o-1", "x")
	want := []string{"key: u-1", "priority: 7", "dedup-id: o-1"}

	c := r.consume("t", "c", 1)
	c.Send("REQ " + c.Message().ID + " 0\nRDY 0\n")
	id := r.awaitLetters(1).Messages[0].ID
	r.wantHeaders("/deadletter/list?topic=dead", "x", want...)
	r.must("POST", "/deadletter/putback?topic=dead&id="+id, "")
	r.wantHeaders("/channel/peek?topic=t&channel=c", "x", want...)
	r.must("POST", "/channel/move?topic=t&channel=c&to=moved", "")
	r.wantHeaders("/channel/peek?topic=moved&channel=c", "x", want...)

	var peeked struct{ Messages []struct{ ID string } }
	if err := json.Unmarshal([]byte(r.must("GET", "/channel/peek?topic=moved&channel=c", "")), &peeked); err != nil {
		t.Fatal(err)
	}
	r.must("POST", "/message/republish?topic=moved&channel=c&to=again&id="+peeked.Messages[0].ID, "")
	r.wantHeaders("/topic/peek?topic=again", "x", want...)
}

func TestAKeyIsTakenFromTheBodyWhereATopicSaysSo(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("PUT", "/topic/config?topic=t", `{"key_from": "json:/user/id"}`)
	bodies := []string{`{"user": {"id": "u-1"}}`, `{"user": {"id": 17}}`, `{"user": {}}`, `no JSON`, `{"user": {"id": "` + strings.Repeat("x", 300) + `"}}`}
	r.must("POST", "/mpub?topic=t", strings.Join(bodies, "\n"))
	r.must("POST", "/pub?topic=t&key=mine", `{"user": {"id": "u-2"}}`)
	c := r.consume("t", "c", 0)
	c.Send("PUB t\n\x00\x00\x00\x17" + `{"user": {"id": "u-3"}}`)
	if _, f := c.Frame(); string(f) != "OK" {
		t.Fatalf("%q", f)
	}
	const path = "/topic/peek?topic=t&limit=100"
	r.wantHeaders(path, bodies[0], "key: u-1")
	r.wantHeaders(path, bodies[1], "key: 17")
	r.wantHeaders(path, bodies[2])
	r.wantHeaders(path, bodies[3])
	r.wantHeaders(path, bodies[4], "key: "+strings.Repeat("x", 255))
	r.wantHeaders(path, `{"user": {"id": "u-2"}}`, "key: mine")
	r.wantHeaders(path, `{"user": {"id": "u-3"}}`, "key: u-3")
	r.must("PUT", "/topic/config?topic=t", `{"key_from": ""}`)
	r.must("POST", "/pub?topic=t", `{"user": {"id": "u-4"}}`)
	r.wantHeaders(path, `{"user": {"id": "u-4"}}`)
}
