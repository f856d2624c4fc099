package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"qmq/test/wire"
)

type letterList struct {
	Messages []deadLetter `json:"messages"`
	Next     string       `json:"next"`
}

// letters lists dead letters of topic dead.
func (r *rig) letters(query string) (l letterList) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.must("GET", "/deadletter/list?topic=dead"+query, "")), &l); err != nil {
		r.t.Fatal(err)
	}
	return l
}

// awaitLetters waits until topic dead has so many dead letters.
func (r *rig) awaitLetters(n int) letterList {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if l := r.letters("&limit=100"); len(l.Messages) == n {
			return l
		} else if time.Now().After(deadline) {
			r.t.Fatalf("%d dead letters, want %d", len(l.Messages), n)
		}
	}
}

// startWithDeadLetters makes topic t with channels c and other, and gives up what is
// published, with bodies, in c after one delivery.
func startWithDeadLetters(t *testing.T, bodies ...string) (*rig, letterList) {
	r := start(t)
	for _, path := range []string{"/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/channel/create?topic=t&channel=other"} {
		r.must("POST", path, "")
	}
	r.must("PUT", "/channel/config?topic=t&channel=c", `{"max_attempts": 1, "dead_letter_topic": "dead"}`)
	r.must("POST", "/mpub?topic=t", strings.Join(bodies, "\n"))
	c := r.consume("t", "c", len(bodies))
	for range bodies {
		c.Send("REQ " + c.Message().ID + " 0\n")
	}
	c.Send("RDY 0\n") // what comes back is not for it
	list := r.awaitLetters(len(bodies))
	// They are there before the channel has done with them.
	eventually(t, func() bool { return r.channelStats("t", "c").DeadLettered == uint64(len(bodies)) })
	return r, list
}

func TestDeadLettersAreListedWithWhereTheyComeFrom(t *testing.T) {
	r, list := startWithDeadLetters(t, "a", "b", "c")
	first := list.Messages[0]
	if o := first.Origin; string(first.Body) != "a" || first.Size != 1 || o.Topic != "t" || o.Channel != "c" || o.Attempts != 1 || o.Reason != "requeue" ||
		o.Timestamp == 0 || time.Since(time.UnixMilli(o.Time)) > time.Hour || o.ID != r.looks("&contains=a", "a").Messages[0].ID {
		t.Errorf("got %+v of %+v", first, first.Origin)
	}
	var bodies []string
	for next := ""; ; {
		query := "&limit=1"
		if next != "" {
			query += "&from=" + next
		}
		page := r.letters(query)
		for _, m := range page.Messages {
			bodies = append(bodies, string(m.Body))
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if got := strings.Join(bodies, " "); got != "a b c" {
		t.Errorf("page by page: %s", got)
	}
	if a := r.must("GET", "/topic/peek?topic=dead&limit=1", ""); !strings.Contains(a, `"dead_letter":{"topic":"t","channel":"c","id":"`+first.Origin.ID) {
		t.Errorf("/topic/peek: %s", a)
	}
	if s := r.must("GET", "/stats?format=json&topic=t&channel=c", ""); !strings.Contains(s, `"dead_lettered_count":3`) {
		t.Errorf("/stats: %s", s)
	}
	c := r.consume("dead", "any", 1)
	if m := c.Message(); m.Body != "a" || m.Attempts != 1 {
		t.Errorf("a consumer got %+v", m)
	}
	if a := r.must("GET", "/channel/peek?topic=dead&channel=any", ""); !strings.Contains(a, `"dead_letter":{"topic":"t"`) {
		t.Errorf("/channel/peek: %s", a)
	}
}

func TestDeadLettersArePutBackIntoTheirChannelAlone(t *testing.T) {
	r, list := startWithDeadLetters(t, "a", "b", "c")
	r.must("PUT", "/channel/config?topic=t&channel=c", `{"max_attempts": null, "dead_letter_topic": null}`)
	one := "/deadletter/putback?topic=dead&id=" + list.Messages[1].ID
	if a := r.must("POST", one, ""); a != `{"put_back":1}` {
		t.Errorf("one: %s", a)
	}
	r.expect("POST", one, "", http.StatusNotFound)
	r.awaitLetters(2)
	c := r.connect(wire.Identify(`{"client_id":"me"}`), "SUB t c\n")
	c.Expect("OK", "OK")
	c.Send("RDY 10\n")
	if m := c.Message(); m.Body != "b" || m.Attempts != 1 {
		t.Errorf("put back as %+v", m)
	}
	if a := r.must("POST", "/deadletter/putback?topic=dead&all=true", ""); a != `{"put_back":2}` {
		t.Errorf("all: %s", a)
	}
	if a, b := c.Message(), c.Message(); a.Body+b.Body != "ac" {
		t.Errorf("put back as %+v, %+v", a, b)
	}
	if a := r.must("POST", "/deadletter/putback?topic=dead&all=true", ""); a != `{"put_back":0}` {
		t.Errorf("none: %s", a)
	}
	if s := r.must("GET", "/stats?format=json&topic=t&channel=other", ""); !strings.Contains(s, `"depth":3`) {
		t.Errorf("the other channel has them too: %s", s)
	}
	if s := r.must("GET", "/stats?format=json&topic=dead", ""); !strings.Contains(s, `"depth":0`) {
		t.Errorf("the dead-letter topic has them still: %s", s)
	}
}

func TestDeadLetterWhoseChannelIsGoneStays(t *testing.T) {
	r, list := startWithDeadLetters(t, "a")
	r.must("POST", "/channel/delete?topic=t&channel=c", "")
	why := "topic t has no channel c here"
	if a := r.expect("POST", "/deadletter/putback?topic=dead&id="+list.Messages[0].ID, "", http.StatusConflict); !strings.Contains(a, "NOT_PUT_BACK") {
		t.Errorf("one: %s", a)
	}
	if a := r.must("POST", "/deadletter/putback?topic=dead&all=true", ""); a != fmt.Sprintf(`{"put_back":0,"left":{%q:1}}`, why) {
		t.Errorf("all: %s", a)
	}
	r.awaitLetters(1)
	for path, want := range map[string]int{
		"/deadletter/putback?topic=none&all=true": 404, "/deadletter/putback?topic=dead": 400, "/deadletter/putback?all=true": 400,
		"/deadletter/putback?topic=dead&id=x": 400, "/deadletter/putback?topic=dead&id=0000000000000001": 404,
	} {
		r.expect("POST", path, "", want)
	}
	for path, want := range map[string]int{
		"/deadletter/list?topic=none": 404, "/deadletter/list?topic=dead&limit=0": 400, "/deadletter/list?topic=dead&from=x": 400,
	} {
		r.expect("GET", path, "", want)
	}
}
