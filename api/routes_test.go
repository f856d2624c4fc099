package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/internal/httpapi"
)

// changing is what changes by itself in what is shown.
var changing = regexp.MustCompile(`"(deadline_ms|due_ms|disk_free_bytes|disk_used_bytes|handed_out|open_files|max_open_files)":[^,}]*`)

// untouched is a set, a drain and a configuration that nobody may change.
type untouched struct{ t *testing.T }

func (u untouched) changed() { u.t.Helper(); u.t.Error("it was told to change something") }

func (u untouched) View() any                                  { return nil }
func (u untouched) Views() any                                 { return nil }
func (u untouched) Backup(io.Writer) error                     { return nil }
func (u untouched) Move(context.Context, uint32, string) error { u.changed(); return nil }
func (u untouched) Balance(context.Context) error              { u.changed(); return nil }
func (u untouched) Add(context.Context, string, string) error  { u.changed(); return nil }
func (u untouched) Remove(context.Context, string) error       { u.changed(); return nil }
func (u untouched) Adopt(context.Context, string) error        { u.changed(); return nil }
func (u untouched) Begin()                                     { u.changed() }
func (u untouched) End() bool                                  { u.changed(); return true }
func (u untouched) Until() (until time.Time, draining bool)    { return until, false }
func (u untouched) Keys() []string                             { return []string{"x"} }
func (u untouched) Lookup(string) (any, bool)                  { return "x", true }
func (u untouched) Changeable(string) bool                     { return true }
func (u untouched) Set(string, []byte) error                   { u.changed(); return nil }

// TestNoGETRouteChangesAnything: whatever its parameters ask for. A page of another site, or a
// crawler, can send one.
func TestNoGETRouteChangesAnything(t *testing.T) {
	r := start(t, func(o *options) { o.Cluster, o.Drain, o.Config = untouched{t}, untouched{t}, untouched{t} })
	r.must("POST", "/mpub?topic=t", "a\nb\nc\nd")
	held := r.sub("topic=t&channel=c&max=2&lease=600000")
	r.must("POST", "/req?topic=t&channel=c&defer=600000&id="+held.Messages[1].ID, "")
	state := func() string {
		r.t.Helper()
		var all strings.Builder
		for _, target := range []string{
			"/stats?format=json&include_config=true&include_mem=false", "/topic/peek?topic=t", "/topic/config?topic=t", "/channel/config?topic=t&channel=c",
			"/channel/peek?topic=t&channel=c", "/channel/peek?topic=t&channel=c&order=oldest&state=inflight", "/channel/peek?topic=t&channel=c&order=oldest&state=deferred",
		} {
			all.WriteString(r.must("GET", target, "") + "\n")
		}
		return changing.ReplaceAllString(all.String(), "")
	}
	before := state()
	asked := url.Values{
		"channel": {"c"}, "id": {held.Messages[0].ID}, "receipt": {held.Receipt}, "max": {"2"}, "wait": {"0"}, "seconds": {"1"},
		"ids": {"true"}, "defer": {"0"}, "to": {"t"}, "finish": {"true"}, "all": {"true"}, "from": {"first"}, "delete": {"true"},
		"shard": {"1"}, "member": {"m"}, "address": {"127.0.0.1:1234"}, "remote_address": {"127.0.0.1:1234"}, "directory": {"d"},
	}
	seen := 0
	for _, route := range r.http.routes().(*httpapi.Router).Routes() {
		for _, topic := range []string{"t", "new"} {
			asked["topic"] = []string{topic}
			target := strings.ReplaceAll(route.Path, ":opt", "log_level") + "?" + asked.Encode()
			switch {
			case route.Method == "GET" && !(topic == "new" && strings.HasPrefix(route.Path, "/debug")): // profiles know no topics
				seen++
				if w := r.call("GET", target, "log_level"); w.Code == http.StatusBadRequest && strings.Contains(w.Body.String(), "UNKNOWN_PARAMETER") {
					r.call("GET", knownOf(r, target, w.Body.Bytes()), "log_level")
				}
			case route.Method != "GET":
				if w := r.call("GET", target, "x"); w.Code != http.StatusMethodNotAllowed && !both(r, route.Path) {
					t.Errorf("GET %s: %d %s", route.Path, w.Code, w.Body)
				}
			}
		}
	}
	if after := state(); after != before || seen < 20 {
		t.Errorf("after %d requests it is\n%s\nand was\n%s", seen, after, before)
	}
}

// knownOf is a request with those of its parameters that a refusal lists.
func knownOf(r *rig, target string, refusal []byte) string {
	var answer struct{ Known []string }
	if err := json.Unmarshal(refusal, &answer); err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse(target)
	if err != nil {
		r.t.Fatal(err)
	}
	q := u.Query()
	for name := range q {
		if !slices.Contains(answer.Known, name) {
			q.Del(name)
		}
	}
	return u.Path + "?" + q.Encode()
}

// both tells whether a path has a GET route too.
func both(r *rig, path string) bool {
	for _, route := range r.http.routes().(*httpapi.Router).Routes() {
		if route.Method == "GET" && route.Path == path {
			return true
		}
	}
	return false
}
