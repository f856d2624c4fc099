package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/test/node"
	"qmq/test/wire"
)

// peekAnswer is the answer to /channel/peek.
type peekAnswer struct {
	Messages []peekedMessage `json:"messages"`
	Total    int             `json:"total"`
}

// peek asks for messages of channel ch of topic t.
func (r *rig) peek(query string) peekAnswer {
	r.t.Helper()
	var a peekAnswer
	if err := json.Unmarshal([]byte(r.must("GET", "/channel/peek?topic=t&channel=ch"+query, "")), &a); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// expectPeek wants these messages, as body/attempts.
func (r *rig) expectPeek(query, want string) []peekedMessage {
	r.t.Helper()
	a := r.peek(query)
	var words []string
	for _, m := range a.Messages {
		words = append(words, fmt.Sprintf("%s/%d", m.Body, m.Attempts))
	}
	if got := fmt.Sprint(strings.Join(words, " "), " of ", a.Total); got != want {
		r.t.Errorf("%s: got %s, want %s", query, got, want)
	}
	return a.Messages
}

func TestPeekShowsEachStateInItsOrder(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	since := time.Now()
	r.must("POST", "/pub?topic=t&defer=3000000", "later")
	r.must("POST", "/pub?topic=t&defer=2000000", "late")
	r.must("POST", "/mpub?topic=t", "a\nb\nc\nd\ne\nf")
	r.expectPeek("", "a/0 b/0 c/0 d/0 e/0 f/0 of 6")
	r.expectPeek("&state=ready&limit=2", "a/0 b/0 of 6")

	c := r.connect(wire.Identify(`{"client_id":"me","msg_timeout":60000}`), "SUB t ch\n")
	c.Expect("OK", "OK")
	c.Send("RDY 4\n")
	ids := map[string]string{}
	for range 4 {
		m := c.Message()
		ids[m.Body] = m.ID
	}
	c.Send("RDY 0\nREQ " + ids["c"] + " 0\nREQ " + ids["d"] + " 1000000\nTOUCH " + ids["a"] + "\n" + wire.Pub("other", "x"))
	c.Expect("OK")
	r.expectPeek("", "c/1 e/0 f/0 of 3")
	r.expectPeek("&limit=1", "c/1 of 3")

	flying := r.expectPeek("&state=inflight", "b/1 a/1 of 2") // a was touched
	r.expectPeek("&state=inflight&limit=1", "b/1 of 2")
	for _, m := range flying {
		if m.ID != ids[string(m.Body)] || m.State != "inflight" || m.ClientID != "me" || m.Address != c.LocalAddr().String() ||
			m.Size != 1 || m.Truncated || m.DueMs != nil || m.DeadlineMs == nil || *m.DeadlineMs > 60_000 || *m.DeadlineMs < 60_000-time.Since(since).Milliseconds()-1 {
			t.Errorf("in flight is %+v", m)
		}
	}
	deferred := r.expectPeek("&state=deferred", "d/1 late/0 later/0 of 3")
	r.expectPeek("&state=deferred&limit=1", "d/1 of 3")
	for i, m := range deferred {
		due := []int64{1_000_000, 2_000_000, 3_000_000}[i]
		if m.ClientID != "" || m.DeadlineMs != nil || m.DueMs == nil || *m.DueMs > due || *m.DueMs < due-time.Since(since).Milliseconds()-1 {
			t.Errorf("deferred is %+v", m)
		}
		if m.Timestamp < since.UnixNano() || m.Timestamp > time.Now().UnixNano() {
			t.Errorf("published at %d", m.Timestamp)
		}
	}
}

func TestPeekChangesNothing(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/mpub?topic=t", "a\nb\nc")
	r.must("POST", "/pub?topic=t&defer=3000000", "later")
	before := r.must("GET", "/stats?format=json&include_mem=false", "")
	first := r.must("GET", "/channel/peek?topic=t&channel=ch", "")
	for range 3 {
		if again := r.must("GET", "/channel/peek?topic=t&channel=ch", ""); again != first {
			t.Errorf("got %s after %s", again, first)
		}
		r.expectPeek("&state=deferred", "later/0 of 1")
	}
	if after := r.must("GET", "/stats?format=json&include_mem=false", ""); after != before {
		t.Errorf("stats are %s, were %s", after, before)
	}
	c := r.consume("t", "ch", 3)
	for _, want := range []string{"a", "b", "c"} {
		if m := c.Message(); m.Body != want || m.Attempts != 1 {
			t.Errorf("got %+v, want %s", m, want)
		}
	}
}

func TestPeekRefusals(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	for _, test := range []struct {
		query  string
		status int
		code   string
	}{
		{"%", 400, "INVALID_REQUEST"},
		{"", 400, "MISSING_ARG_TOPIC"},
		{"topic=$", 400, "INVALID_ARG_TOPIC"},
		{"topic=t", 400, "MISSING_ARG_CHANNEL"},
		{"topic=t&channel=$", 400, "INVALID_ARG_CHANNEL"},
		{"topic=absent&channel=ch&state=x", 404, "TOPIC_NOT_FOUND"},
		{"topic=t&channel=absent&limit=x", 404, "CHANNEL_NOT_FOUND"},
		{"topic=t&channel=ch&state=x&limit=x", 400, "INVALID_STATE"},
		{"topic=t&channel=ch&state=", 400, "INVALID_STATE"},
		{"topic=t&channel=ch&limit=0", 400, "INVALID_LIMIT"},
		{"topic=t&channel=ch&limit=101", 400, "INVALID_LIMIT"},
		{"topic=t&channel=ch&limit=", 400, "INVALID_LIMIT"},
	} {
		w := r.call("GET", "/channel/peek?"+test.query, "")
		if want := fmt.Sprintf(`"message":"%s"}`, test.code); w.Code != test.status || !strings.HasSuffix(w.Body.String(), want) {
			t.Errorf("%s: %d %s", test.query, w.Code, w.Body)
		}
	}
	if w := r.call("POST", "/channel/peek?topic=t&channel=ch", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	if got := r.must("GET", "/channel/peek?topic=t&channel=ch", ""); got != `{"messages":[],"total":0}` {
		t.Errorf("an empty channel shows %s", got)
	}
}

func TestPeekCutsLongBodies(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/pub?topic=t", strings.Repeat("x", 64<<10))
	r.must("POST", "/pub?topic=t", strings.Repeat("y", 64<<10+1))
	ms := r.peek("").Messages
	if len(ms) != 2 || ms[0].Truncated || len(ms[0].Body) != 64<<10 || ms[0].Size != 64<<10 ||
		!ms[1].Truncated || len(ms[1].Body) != 64<<10 || ms[1].Size != 64<<10+1 {
		t.Errorf("got %d messages, truncated %v and %v, sizes %d and %d", len(ms), ms[0].Truncated, ms[1].Truncated, ms[0].Size, ms[1].Size)
	}
}

func TestPeekReadsWhatIsOnDiskOnly(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MemQueueSize = 0 }))
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/mpub?topic=t", "a\nb\nc")
	r.expectPeek("&limit=2", "a/0 b/0 of 3")
}
