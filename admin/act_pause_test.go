package admin

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"qmq/test/process"
)

func TestPausingDoesNotWaitForANodeThatHangs(t *testing.T) {
	a, b := startNode(t, "a", aTopic("t", 1)), startNode(t, "b", aTopic("t", 1))
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}, RequestTimeout: time.Minute, ConnectTimeout: time.Minute})
	get(t, base+"/api/q/overview")
	hang := make(chan struct{})
	b.set(func(n *fakeNode) { n.hang = hang })
	r := postJSON(t, base+"/api/q/act", `{"action":"pause_topic","topic":"t"}`).decoded(t)
	same(t, "outcome", []any{r["ok"], r["summary"]}, "[false 1 of 2 nodes; b is pending]")
	same(t, "pending", at(t, r, "results", 1, "pending"), true)
	same(t, "told", a.told(), "[/topic/pause?topic=t]")
	id := fmt.Sprint(at(t, r, "activity"))
	entry := func() any { return at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries", 0, "result") }
	same(t, "activity", entry(), "1 of 2 nodes; b is pending")
	close(hang)
	process.Eventually(t, "the node has answered", func() bool {
		return get(t, base+"/api/q/outcome?activity="+id).decoded(t)["summary"] == "2 of 2 nodes"
	})
	same(t, "told", b.told(), "[/topic/pause?topic=t]")
	process.Eventually(t, "it is in Activity", func() bool { return entry() == "2 of 2 nodes" })
	same(t, "no such activity", get(t, base+"/api/q/outcome?activity=99").status, http.StatusNotFound)
	same(t, "no number", get(t, base+"/api/q/outcome").status, http.StatusBadRequest)
}
