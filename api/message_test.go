package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/internal/vfs"
	"qmq/test/node"
	"qmq/test/process"
	"qmq/test/wire"
)

// logAnswer is the answer to /topic/peek.
type logAnswer struct {
	First    uint64          `json:"first"`
	FanOut   uint64          `json:"fan_out"`
	End      uint64          `json:"end"`
	Messages []loggedMessage `json:"messages"`
	Next     uint64          `json:"next"`
	Scanned  int             `json:"scanned"`
}

// looks asks for messages of topic t, and returns them with what comes with them.
func (r *rig) looks(query, want string) logAnswer {
	r.t.Helper()
	var a logAnswer
	if err := json.Unmarshal([]byte(r.must("GET", "/topic/peek?topic=t"+query, "")), &a); err != nil {
		r.t.Fatal(err)
	}
	var bodies []string
	for _, m := range a.Messages {
		bodies = append(bodies, string(m.Body))
	}
	if got := strings.Join(bodies, " "); got != want {
		r.t.Errorf("%s: got %s, want %s", query, got, want)
	}
	return a
}

func TestTopicIsPeekedWithoutAChannelFromEachPlace(t *testing.T) {
	r := start(t)
	r.must("POST", "/mpub?topic=t", "a\nb\nc")
	middle := time.Now()
	r.must("POST", "/mpub?topic=t", "d\ne")
	all := r.looks("", "a b c d e")
	if all.FanOut != all.First || all.End != all.First+5 || all.Next != 0 || all.Messages[3].Seq != all.First+3 {
		t.Errorf("got %+v", all)
	}
	if page := r.looks("&limit=2", "a b"); page.Next != all.First+2 {
		t.Errorf("next is %d", page.Next)
	}
	r.looks(fmt.Sprintf("&limit=2&from=%d", all.First+2), "c d")
	if page := r.looks("&limit=2&order=newest", "e d"); page.Next != all.First+2 {
		t.Errorf("next is %d", page.Next)
	}
	if page := r.looks(fmt.Sprintf("&limit=9&order=newest&from=%d", all.First+2), "c b a"); page.Next != 0 {
		t.Errorf("next is %d", page.Next)
	}
	r.looks(fmt.Sprintf("&since=%d", middle.UnixNano()), "d e")
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 2*3600)} { // a + that is escaped, and one that is not
		at := middle.In(zone).Format(time.RFC3339Nano)
		r.looks("&since="+at, "d e")
		r.looks("&since="+url.QueryEscape(at), "d e")
	}
	r.looks(fmt.Sprintf("&since=%d", time.Now().Add(time.Hour).UnixNano()), "")
	for _, late := range []string{"2199-01-01T00:00:00Z", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59Z", "9223372036854775807"} {
		r.looks("&since="+late, "")
	}
	if found := r.looks("&contains=d", "d"); found.Scanned != 5 || found.Next != 0 {
		t.Errorf("got %+v", found)
	}
	if found := r.looks("&contains=d&order=newest", "d"); found.Scanned != 5 {
		t.Errorf("got %+v", found)
	}
	if s := r.must("GET", "/stats?format=json&include_mem=false", ""); !strings.Contains(s, `"channels":[],"depth":5`) {
		t.Errorf("something was taken: %s", s)
	}
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	if a := r.looks("&limit=1", "a"); a.FanOut != a.End {
		t.Errorf("what channels have waits in the topic: %+v", a)
	}
	r.must("POST", "/topic/pause?topic=t", "")
	r.must("POST", "/pub?topic=t", "f")
	r.must("POST", "/topic/empty?topic=t", "")
	r.looks("", "a b c d e") // what was emptied is not shown
	for query, want := range map[string]int{
		"topic=nowhere": 404, "topic=t&limit=0": 400, "topic=t&order=up": 400, "topic=t&from=x": 400, "topic=t&since=0": 400,
		"topic=t&since=5&order=newest": 400, "topic=t&contains=" + strings.Repeat("x", 257): 400, "": 400,
	} {
		if status := r.call("GET", "/topic/peek?"+query, "").Code; status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
	for _, query := range []string{"since=0", "since=-5", "since=yesterday", "since=", "since=1h", "since=-1d", "since=9223372036854775808", "since=2026-01-01T00:00:00Z&order=newest"} {
		w := r.call("GET", "/topic/peek?topic=t&"+query, "")
		if w.Code != 400 || !strings.Contains(w.Body.String(), "INVALID_SINCE") || !strings.Contains(w.Body.String(), "RFC 3339") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestChannelIsPeekedByNumbersAndSearched(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/mpub?topic=t", "a1\nb\nc1\nd\ne1\nf")
	c := r.connect(wire.Identify(`{"client_id":"me"}`), "SUB t ch\n")
	c.Expect("OK", "OK")
	c.Send("RDY 3\n")
	ids := map[string]string{}
	for range 3 {
		m := c.Message()
		ids[m.Body] = m.ID
	}
	c.Send("RDY 0\nREQ " + ids["c1"] + " 0\nREQ " + ids["a1"] + " 0\n")
	c.Send(wire.Pub("other", "x"))
	c.Expect("OK")
	r.expectPeek("", "c1/1 a1/1 d/0 e1/0 f/0 of 5")
	list := r.expectPeek("&order=oldest", "a1/1 c1/1 d/0 e1/0 f/0 of 5")
	r.expectPeek("&order=newest&limit=3", "f/0 e1/0 d/0 of 5")
	r.expectPeek(fmt.Sprintf("&order=newest&from=%d", list[1].Seq), "c1/1 a1/1 of 5")
	r.expectPeek(fmt.Sprintf("&from=%d&limit=2", list[1].Seq), "c1/1 d/0 of 5")
	r.expectPeek("&contains=1", "a1/1 c1/1 e1/0 of 5")
	r.expectPeek("&contains=1&order=newest&limit=2", "e1/0 c1/1 of 5")
	r.expectPeek("&contains=nothing", " of 5")
	r.expectPeek("&state=inflight&order=newest", "b/1 of 1")
	if a := r.must("GET", "/channel/peek?topic=t&channel=ch&order=oldest&limit=2", ""); !strings.Contains(a, fmt.Sprintf(`"next":%d}`, list[2].Seq)) {
		t.Errorf("got %s", a)
	}
}

// left counts what the only channel of a topic has not finished, at one moment: two looks
// might see a message twice that a consumer takes meanwhile.
func (r *rig) left(topic string) int {
	r.t.Helper()
	var stats struct {
		Topics []struct {
			Channels []struct {
				Depth    int `json:"depth"`
				InFlight int `json:"in_flight_count"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := json.Unmarshal([]byte(r.must("GET", "/stats?format=json&include_mem=false&topic="+topic, "")), &stats); err != nil {
		r.t.Fatal(err)
	}
	ch := stats.Topics[0].Channels[0]
	return ch.Depth + ch.InFlight
}

func TestOneMessageIsRequeuedFinishedAndRepublished(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/pub?topic=t&defer=3000000", "later")
	r.must("POST", "/mpub?topic=t", "a\nb\nc")
	c := r.consume("t", "ch", 1)
	a := c.Message()
	on := func(id string) string { return "?topic=t&channel=ch&id=" + id }

	later := r.peek("&state=deferred").Messages[0]
	r.must("POST", "/message/requeue"+on(later.ID), "")
	r.expectPeek("", "later/0 b/0 c/0 of 3")
	r.expectPeek("&state=deferred", " of 0")

	r.must("POST", "/message/requeue"+on(a.ID), "") // in flight: the consumer has room again
	if m := c.Message(); m.Body == "a" && m.Attempts != 2 {
		t.Errorf("got %+v", m)
	}
	r.must("POST", "/message/finish"+on(a.ID), "")
	r.must("POST", "/message/finish"+on(later.ID), "")
	if a := r.call("POST", "/message/finish"+on(a.ID), ""); a.Code != 404 || !strings.Contains(a.Body.String(), "MESSAGE_NOT_FOUND") {
		t.Errorf("finished twice: %d %s", a.Code, a.Body)
	}
	if n := r.left("t"); n != 2 {
		t.Errorf("%d are left", n)
	}
	b := r.looks("&contains=b", "b").Messages[0]
	r.must("POST", "/message/republish"+on(b.ID)+"&to=u&finish=true", "")
	if got := r.must("GET", "/message/body?topic=t&id="+b.ID, ""); got != "b" {
		t.Errorf("the body is %q", got)
	}
	if s := r.must("GET", "/stats?format=json&include_mem=false&topic=u", ""); !strings.Contains(s, `"depth":1`) {
		t.Errorf("u has %s", s)
	}
	if n := r.left("t"); n != 1 {
		t.Errorf("%d are left", n)
	}
	for path, want := range map[string]int{
		"/message/finish?topic=t&channel=ch": 400, "/message/finish" + on("x"): 400, "/message/finish" + on("0000000000000001"): 404,
		"/message/finish?topic=t&channel=none&id=" + a.ID: 404, "/message/republish" + on(a.ID) + "&to=no+good": 400, "/message/republish" + on(a.ID) + "&to=u": 404,
	} {
		if a := r.call("POST", path, ""); a.Code != want {
			t.Errorf("%s: %d %s, want %d", path, a.Code, a.Body, want)
		}
	}
}

func TestFinishedByHandStaysFinishedAfterARestart(t *testing.T) {

	fs := vfs.NewMem()
	at := func(o *broker.Options) { o.FS = fs }
	b := node.Open(t, at)
	r := startOn(t, b)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/mpub?topic=t", "a\nb\nc")
	r.must("POST", "/pub?topic=t&defer=3000000", "later")
	for body, verb := range map[string]string{"b": "finish", "later": "requeue"} {
		id := r.looks("&contains="+body, body).Messages[0].ID
		r.must("POST", "/message/"+verb+"?topic=t&channel=ch&id="+id, "")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	startOn(t, node.Open(t, at)).expectPeek("&order=oldest", "a/0 c/0 later/0 of 3")
}

func TestBacklogIsMovedInSteps(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/channel/pause?topic=t&channel=ch", "")
	r.must("POST", "/mpub?topic=t", "a\nb\n"+strings.Repeat("c", 8000)+"\nd")
	r.must("POST", "/topic/create?topic=u", "")
	r.must("POST", "/channel/create?topic=u&channel=ch", "")
	end := r.looks("&limit=1", "a").End
	r.must("POST", "/pub?topic=t", "e")
	move := fmt.Sprintf("/channel/move?topic=t&channel=ch&to=u&limit=3&until=%d", end)
	if got := r.must("POST", move, ""); !strings.Contains(got, `{"moved":3,"left":2,`) {
		t.Errorf("got %s", got)
	}
	if got := r.must("POST", move, ""); !strings.Contains(got, `{"moved":1,"left":1,`) {
		t.Errorf("got %s", got)
	}
	if got := r.must("POST", move, ""); got != `{"moved":0,"left":1}` {
		t.Errorf("got %s", got)
	}
	r.expectPeek("", "e/0 of 1")
	if s := r.must("GET", "/channel/peek?topic=u&channel=ch", ""); !strings.Contains(s, `"total":4}`) {
		t.Errorf("u has %s", s)
	}
	for query, want := range map[string]int{"topic=t&channel=ch&to=t": 400, "topic=t&channel=ch": 400, "topic=t&channel=ch&to=u&limit=1001": 400, "topic=t&channel=x&to=u": 404} {
		if status := r.call("POST", "/channel/move?"+query, "").Code; status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
}

func TestClientIsClosedByItsAddress(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=ch", "")
	r.must("POST", "/pub?topic=t", "a")
	c := r.consume("t", "ch", 1)
	c.Message()
	r.must("POST", "/client/close?remote_address="+c.LocalAddr().String(), "")
	c.ExpectEnd()
	process.Eventually(t, "the message is back", func() bool { return r.peek("").Total == 1 })
	if status := r.call("POST", "/client/close?remote_address=10.0.0.1:1", "").Code; status != http.StatusNotFound {
		t.Errorf("a client that is not there: %d", status)
	}
	if status := r.call("POST", "/client/close", "").Code; status != http.StatusBadRequest {
		t.Errorf("no address: %d", status)
	}
}
