package admin

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/admin/cluster"
)

func TestNamesThatNobodyKnowsAreNotRemembered(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1, aChannel("c", 1, 1)))
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	for i := range 20 {
		same(t, "status", get(t, fmt.Sprintf("%s/api/q/channel?topic=t&channel=nobody%d", base, i)).status, 404)
	}
	same(t, "status", get(t, base+"/api/q/channel?topic=t&channel=c").status, 200)
	s.collector.read(func(*cluster.Cluster) { same(t, "channels looked at", len(s.collector.consumers.channels), 1) })
}

func TestActivityKeepsNoLongTexts(t *testing.T) {
	_, _, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address()}, ACLHeader: "X-Forwarded-User"})
	long := strings.Repeat("x", 20_000)
	send(t, "DELETE", base+"/api/topics/"+long, "", "X-Forwarded-User", long)
	postJSON(t, base+"/api/q/act", `{"action":"delete_topic","topic":"t"}`, "X-Forwarded-User", long)
	if body := get(t, base+"/api/q/activity").body; len(body) > 4000 {
		t.Errorf("activity has %d bytes", len(body))
	}
}

func TestOnlyActionsOnTopicsAndChannelsAreCarriedOut(t *testing.T) {
	a, _, d := twoNodes(t)
	_, base := startServer(t, Options{Lookupds: []string{d.address()}})
	for _, action := range []string{"login_failed", "publish", "peek", "dance_topic", ""} {
		same(t, action, postJSON(t, base+"/api/q/act", `{"action":"`+action+`","topic":"t"}`).status, 400)
	}
	same(t, "told", a.told(), "[]")
	r := postJSON(t, base+"/api/q/act", `{"action":"tombstone_topic_producer","topic":"t","channel":"`+strings.Repeat("x", 1000)+`","node":"`+a.address()+`"}`)
	same(t, "channel of a tombstone", at(t, r.decoded(t), "channel"), "")
}

func TestWhoPausedIsNotSaidOfAPauseThatWasUndone(t *testing.T) {
	s, _ := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}})
	p := cluster.Pair{Topic: "t", Channel: "c"}
	s.activity.add(entry{User: "maria", Action: "pause_channel", Topic: "t", Channel: "c", OK: true})
	same(t, "paused by", s.activity.pausedBy(p), "maria")
	s.activity.add(entry{User: "tom", Action: "unpause_channel", Topic: "t", Channel: "c", OK: true})
	same(t, "paused again elsewhere by", s.activity.pausedBy(p), "")
}

func TestProxyOfGraphiteLeavesTheSettingsOfOthersAlone(t *testing.T) {
	graphite := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", cookieName+"=theirs")
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte("[]"))
	}))
	defer graphite.Close()
	roots := x509.NewCertPool()
	roots.AddCert(graphite.Certificate())
	at, _ := url.Parse(graphite.URL)
	settings := &tls.Config{RootCAs: roots}
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}, GraphiteURL: at, ProxyGraphite: true, TLS: settings})
	r := get(t, base+"/render?target=q")
	same(t, "proxy", []any{r.status, r.body, r.head.Get("Set-Cookie")}, "[200 [] ]")
	same(t, "protocols that nodes are offered", settings.NextProtos, "[]")
}

// TestAnswersOfGraphiteAreFiguresOrNothing: a page of its would be one of ours.
func TestAnswersOfGraphiteAreFiguresOrNothing(t *testing.T) {
	graphite := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set("Content-Type", q.Get("type"))
		w.Header().Set("X-Frame-Options", "ALLOWALL")
		w.Header().Set("Refresh", "0; url=http://evil.example")
		if q.Has("fail") {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Write([]byte("<script>"))
	}))
	defer graphite.Close()
	at, _ := url.Parse(graphite.URL)
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}, GraphiteURL: at, ProxyGraphite: true})
	for kind, status := range map[string]int{"image/png": 200, "image/svg+xml": 200, "application/json; charset=utf-8": 200, "text/html": 502, "text/javascript": 502, "": 502, "application/xhtml+xml": 502} {
		r := get(t, base+"/render?type="+url.QueryEscape(kind))
		same(t, kind, []any{r.status, r.head.Get("Refresh"), r.head.Values("X-Frame-Options"), r.head.Get("X-Content-Type-Options")}, fmt.Sprint([]any{status, "", "[DENY]", "nosniff"}))
		if status == 200 && !strings.Contains(strings.Join(r.head.Values("Content-Security-Policy"), ";"), "sandbox") {
			t.Errorf("%s: policy %v", kind, r.head.Values("Content-Security-Policy"))
		}
	}
	r := get(t, base+"/render?fail=1&type=text/html")
	same(t, "failure", []any{r.status, r.body}, "[500 ]")
}

// TestOneAddressHasAShareOfTheStreams so that it does not keep others out.
func TestOneAddressHasAShareOfTheStreams(t *testing.T) {
	s, _ := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}})
	var leaving []func()
	enter := func(from string) bool {
		leave, ok := s.collector.enter(from, 8)
		if ok {
			leaving = append(leaving, leave)
		}
		return ok
	}
	for _, step := range []struct {
		from string
		ok   bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"b", true}, {"b", false}, {"c", true}, {"c", true}, {"d", true}, {"d", true}, {"e", false}} {
		same(t, step.from, enter(step.from), fmt.Sprint(step.ok))
	}
	leaving[0]()
	same(t, "after one has left", []any{enter("b"), enter("a")}, "[false true]")
	for _, leave := range leaving[1:] {
		leave()
	}
	same(t, "in the end", []any{s.collector.viewers, len(s.collector.viewersFrom)}, "[0 0]")
}

// TestPasswordsInAddressesAreUsedAndNotShown on the page or in its API.
func TestPasswordsInAddressesAreUsedAndNotShown(t *testing.T) {
	var asked sync.Map
	directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked.Store(user+":"+password, true)
		answerJSON(w, object{"producers": []object{}, "topics": []string{}, "channels": []string{}, "version": "1"})
	}))
	defer directory.Close()
	address := strings.Replace(directory.URL, "http://", "http://ann:s3cret@", 1)
	var log lockedBuilder
	s, base := startServer(t, Options{Lookupds: []string{address}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, path := range []string{"/api/q/me", "/api/q/nodes", "/api/q/overview", "/api/q/names", "/api/topics", "/api/q/lookup"} {
		if body := get(t, base+path).body; strings.Contains(body, "s3cret") {
			t.Errorf("%s shows %s", path, body)
		}
	}
	if _, ok := asked.Load("ann:s3cret"); !ok {
		t.Error("it was not asked with the password")
	}
	s.SetLookupds([]string{strings.Replace(address, "s3cret", "s3cond", 1)})
	if body := get(t, base+"/api/q/me").body; strings.Contains(body, "s3cond") || !strings.Contains(body, directory.URL) {
		t.Errorf("after a change: %s", body)
	}
	if strings.Contains(log.String(), "s3c") {
		t.Errorf("logged %s", log.String())
	}
}

func TestPageItselfIsNeverKeptForLong(t *testing.T) {
	_, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}})
	same(t, "index", get(t, base+"/topics?v=1").head.Get("Cache-Control"), "no-cache")
}

func TestPeekKeepsOnlyWhatItShows(t *testing.T) {
	newest := time.Now().UnixNano()
	nodes := make([]string, 6)
	for i := range nodes {
		n := startNode(t, fmt.Sprint("n", i), aTopic("t", 1, aChannel("c", 1, 1)))
		n.peek = func(w http.ResponseWriter, _ *http.Request) {
			list := []object{}
			for j := range 3 {
				list = append(list, object{"id": fmt.Sprintf("%d-%d", j, i), "timestamp": newest + int64(10*j+i), "body": []byte("x")})
			}
			answerJSON(w, object{"messages": list})
		}
		nodes[i] = n.address()
	}
	_, base := startServer(t, Options{Nodes: nodes})
	r := get(t, base+"/api/q/peek?topic=t&channel=c&limit=3").decoded(t)
	var ids []any
	for _, m := range at(t, r, "messages").([]any) {
		ids = append(ids, at(t, m, "id"))
	}
	same(t, "the oldest of all nodes", ids, "[0-0 0-1 0-2]")
	for i := range nodes {
		same(t, "count", at(t, r, "nodes", i, "count"), 3)
	}
}
