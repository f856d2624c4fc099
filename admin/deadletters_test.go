package admin

import (
	"net/http"
	"strings"
	"testing"
)

func TestDeadLettersAreShownAndPutBack(t *testing.T) {
	a := startNode(t, "a", aTopic("dead", 1))
	b := startNode(t, "b", aTopic("dead", 1))
	b.set(func(n *fakeNode) {
		n.stats["version"] = "2.0.0"
		letters := func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				if strings.Contains(r.URL.RawQuery, "id=0000000000000009") {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				answerJSON(w, object{"put_back": 1, "left": object{"topic t has no channel x here": 2}})
				return
			}
			answerJSON(w, object{"messages": []object{{"id": "0000000000000001", "timestamp": 2_000_000_000_000_000_001, "size": 2, "body": "aGk=",
				"dead_letter": object{"topic": "t", "channel": "c", "attempts": 5, "reason": "timeout", "time": 2_000_000_000_000}}}, "next": "0000000000000002"})
		}
		n.own = map[string]http.HandlerFunc{"/deadletter/list": letters, "/deadletter/putback": letters}
	})
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	o := get(t, base+"/api/q/deadletters?topic=dead").decoded(t)
	same(t, "letter", []any{at(t, o, "letters", 0, "id"), at(t, o, "letters", 0, "topic"), at(t, o, "letters", 0, "channel"), at(t, o, "letters", 0, "attempts"),
		at(t, o, "letters", 0, "reason"), at(t, o, "letters", 0, "body")}, "[0000000000000001 t c 5 timeout aGk=]")
	same(t, "more", o["more"], true)
	same(t, "cannot", []any{at(t, o, "nodes", 0, "available"), at(t, o, "nodes", 1, "ok")}, "[false true]")
	all := postJSON(t, base+"/api/q/putback", `{"topic":"dead","all":true}`).decoded(t)
	same(t, "all", []any{all["ok"], all["put_back"]}, "[false 1]")
	one := postJSON(t, base+"/api/q/putback", `{"topic":"dead","id":"0000000000000009","node":"`+b.address()+`"}`).decoded(t)
	same(t, "gone", []any{one["ok"], one["put_back"]}, "[false 0]")
	for body, status := range map[string]int{`{"topic":"dead"}`: 400, `{"topic":"no name","all":true}`: 400, `{"topic":"none","all":true}`: 404, `{"topic":"dead","all":true,"id":"x"}`: 400} {
		same(t, body, postJSON(t, base+"/api/q/putback", body).status, status)
	}
	same(t, "no topic", get(t, base+"/api/q/deadletters?topic=none").status, 404)
}
