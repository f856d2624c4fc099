package admin

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/admin/cluster"
)

func TestTopicOfDirectoriesOnlyIsShownAsSoonAsItIsCreated(t *testing.T) {
	a := startNode(t, "a")
	d := startDirectory(t, map[*fakeNode][]string{a: nil}, "listed")
	_, url := startServer(t, Options{Lookupds: []string{d.address()}})
	reply := get(t, url+"/api/q/topic?topic=listed")
	same(t, "status", reply.status, 200)
	data := reply.decoded(t)["data"]
	same(t, "nodes", at(t, data, "nodes"), "[]")
	same(t, "channel", at(t, data, "channels", 0, "channel"), "old")
	if sub := at(t, data, "sub").(string); !strings.HasPrefix(sub, "No node has this topic") {
		t.Errorf("it says %q", sub)
	}
	same(t, "its channel", get(t, url+"/api/q/channel?topic=listed&channel=old").status, 200)
	same(t, "its history", get(t, url+"/api/q/history?kind=topic&topic=listed&span=5m").status, 200)
	same(t, "another", get(t, url+"/api/q/topic?topic=other").status, 404)
	same(t, "creating", postJSON(t, url+"/api/q/act", `{"action":"create_channel","topic":"other","channel":"c"}`).status, 200)
	same(t, "its channel at once", get(t, url+"/api/q/channel?topic=other&channel=c").status, 200)
	same(t, "deleting", postJSON(t, url+"/api/q/act", `{"action":"delete_topic","topic":"listed"}`).status, 200)
	same(t, "what is deleted", get(t, url+"/api/q/topic?topic=listed").status, 404)
}

func TestChannelIsShownAsSoonAsItIsCreated(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	_, url := startServer(t, Options{Nodes: []string{a.address()}})
	same(t, "topic", get(t, url+"/api/q/topic?topic=t").status, 200)
	same(t, "creating", postJSON(t, url+"/api/q/act", `{"action":"create_channel","topic":"t","channel":"new"}`).status, 200)
	same(t, "its history", get(t, url+"/api/q/history?kind=channel&topic=t&channel=new&span=5m").status, 200)
}

func TestHistoryIsUpToDateForTheFirstViewer(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	s, url := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.firstUpdate(t.Context())
	s.collector.read(func(c *cluster.Cluster) { c.Update(c.UpdatedAt().Add(-8*time.Second), time.Second) }) // as if nobody had looked
	before := time.Now()
	from := int64(get(t, url+"/api/q/history?kind=cluster&span=5m").decoded(t)["from"].(float64))
	if end := from + 300_000; end < before.UnixMilli() {
		t.Errorf("history ends %d ms ago", before.UnixMilli()-end)
	}
}

func TestActivityNamesNodesAndListsNoResultsAsNone(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	s, url := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool { return c.NodesView().Nodes[0].Name == "a" })
	postJSON(t, url+"/api/q/publish", fmt.Sprintf(`{"topic":"t","node":"127.0.0.1:%d","body":"x"}`, a.port()))
	e := at(t, get(t, url+"/api/q/activity").decoded(t), "data", "entries", 0)
	same(t, "name", at(t, e, "name"), "a")
	same(t, "results", at(t, e, "results"), "[]")
}

// TestLogTellsWhoStopsToAnswerAndWhoIsBack: once for each change, however often
// is asked.
func TestLogTellsWhoStopsToAnswerAndWhoIsBack(t *testing.T) {
	c, now := cluster.New(1<<20, []string{"a:4151", "b:4151"}), time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	c.SetLookupds([]string{"d:4161"})
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	answers := func(from, to int, well bool) {
		for s := from; s < to; s++ {
			at := now.Add(time.Duration(s) * cluster.LookupEvery)
			lookupds, nodes := c.Due(at)
			for _, q := range nodes {
				if well || q.Address == "a:4151" {
					c.NodeAnswered(q, cluster.NodeAnswer{Stats: nodeStats(5)}, at)
				} else {
					c.NodeMissed(q, "refused", at)
				}
			}
			for _, q := range lookupds {
				if well {
					c.LookupdAnswered(q, cluster.LookupdAnswer{}, at)
				} else {
					c.LookupdMissed(q, "timeout", at)
				}
			}
			c.Update(at, cluster.LookupEvery)
			logTransitions(log, c.Transitions())
		}
	}
	answers(0, 5, true)
	answers(5, 7, false) // too short to tell
	answers(7, 10, true)
	same(t, "log", text.String(), "")
	answers(10, 20, false)
	answers(20, 30, true)
	for _, want := range []string{
		`level=WARN msg="node does not answer" address=b:4151`, `level=WARN msg="lookup daemon does not answer" address=d:4161`,
		`level=INFO msg="node answers again" address=b:4151`, `level=INFO msg="lookup daemon answers again" address=d:4161`,
	} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("%s is not there once: %s", want, text.String())
		}
	}
	same(t, "lines", strings.Count(text.String(), "\n"), 4)
}

func TestManyThatStopToAnswerAreAFewLines(t *testing.T) {
	var text strings.Builder
	logTransitions(slog.New(slog.NewTextHandler(&text, nil)), slices.Repeat([]cluster.Transition{{Kind: "node", Address: "a:1", Lost: true}}, 1000))
	if n := strings.Count(text.String(), "\n"); n != maxTransitions+1 || !strings.Contains(text.String(), "count=980") {
		t.Errorf("%d lines: %s", n, text.String())
	}
}
