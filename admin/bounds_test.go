package admin

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestNamesThatNobodyKnowsAreNotRemembered(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1, aChannel("c", 1, 1)))
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	for i := range 20 {
		same(t, "status", get(t, fmt.Sprintf("%s/api/q/channel?topic=t&channel=nobody%d", base, i)).status, 404)
	}
	same(t, "status", get(t, base+"/api/q/channel?topic=t&channel=c").status, 200)
	s.collector.read(func(*cluster) { same(t, "channels looked at", len(s.collector.crowd.channels), 1) })
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
	p := pair{"t", "c"}
	s.activity.add(entry{User: "maria", Action: "pause_channel", Topic: "t", Channel: "c", OK: true})
	same(t, "paused by", s.activity.pausedBy(p), "maria")
	s.activity.add(entry{User: "tom", Action: "unpause_channel", Topic: "t", Channel: "c", OK: true})
	same(t, "paused again elsewhere by", s.activity.pausedBy(p), "")
}

func TestProxyOfGraphiteLeavesTheSettingsOfOthersAlone(t *testing.T) {
	graphite := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", cookieName+"=theirs")
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
