package admin

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// TestSilentNodeStaysOutHoweverOftenIsAsked: viewers come and go, which changes
// how often nodes are asked, and a node that is dead must not come and go with
// them.
func TestSilentNodeStaysOutHoweverOftenIsAsked(t *testing.T) {
	c, now := clusterOf("a", "b")
	both := func(at time.Time, interval time.Duration) {
		c.hear("a", statsAt(1, 10, 5), at)
		c.hear("b", statsAt(1, 10, 7), at)
		c.update(at, interval)
	}
	both(now, idleInterval)
	both(now.Add(10*time.Second), idleInterval)
	same(t, "asked rarely, both are in the sums", c.sums.depth, 12)
	both(now.Add(11*time.Second), liveInterval)
	for s := 12; s < 40; s++ {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, 10, 5), at)
		c.nodes["b:4151"].miss(at, "refused")
		c.update(at, []time.Duration{liveInterval, idleInterval}[s%2])
		if want := map[bool]int64{true: 12, false: 5}[s <= 16]; c.sums.depth != want {
			t.Errorf("after %d s the depth is %d, want %d", s, c.sums.depth, want)
		}
	}
	marks := c.marksOf(view{kind: "cluster"}, now.Add(-time.Hour))
	same(t, "marks", marks, fmt.Sprintf("[{%d without b silent b:4151}]", now.Add(11*time.Second).UnixMilli()))
}

func TestHistoryOfASilentNodeIsAGapFromItsLastAnswerOn(t *testing.T) {
	c, now := clusterOf("a")
	n := c.nodes["a:4151"]
	for s := range 30 {
		at := now.Add(time.Duration(s) * time.Second)
		if s < 10 || s >= 20 {
			c.hear("a", statsAt(1, int64(10*s), 3), at)
		} else {
			n.miss(at, "refused")
		}
		c.update(at, liveInterval)
		if point := c.nodeView(n).Point["depth"].(figure); point.known() != (s >= 1 && s < 10 || s >= 20) {
			t.Errorf("at second %d the newest depth is %v", s, point)
		}
	}
	_, rows := n.history.read(clusterRows, spans["5m"], now.Add(29*time.Second).Unix())
	for _, name := range []string{"depth", "requeued"} { // the latter is 0 all the time
		for s, v := range rows[name][fineSlots-30:] {
			if v.known() != (s >= 1 && s < 10 || s >= 20) {
				t.Errorf("%s at second %d is %v", name, s, v)
			}
		}
	}
}

func TestNodesThatShareAHostHaveNamesOfTheirOwn(t *testing.T) {
	c := newCluster(1 << 20)
	for id, host := range map[string]string{"10.0.0.1:4151": "vm.eu", "10.0.0.1:4251": "vm.eu", "10.0.0.2:4151": "qd-1.eu", "10.0.0.3:4151": "pod", "10.0.0.4:4151": "pod", "10.0.0.5:4151": ""} {
		n := newNode(id, id)
		n.host = host
		c.nodes[id] = n
	}
	c.sortNodes()
	var names []string
	for _, n := range c.order {
		names = append(names, shortName(n.name))
	}
	same(t, "names", names, "[10.0.0.3:4151 10.0.0.4:4151 10.0.0.5:4151 qd-1 vm.eu:4151 vm.eu:4251]")
}

func TestLineAboutSilenceThatIsOverGivesNoReason(t *testing.T) {
	c, now := clusterOf("a")
	n := c.nodes["a:4151"]
	for s := range 20 {
		at := now.Add(time.Duration(s) * time.Second)
		if s > 3 && s < 10 {
			n.miss(at, "refused")
		} else {
			c.hear("a", statsAt(1, 1, 0), at)
		}
		c.update(at, liveInterval)
	}
	same(t, "lines that are over", len(c.watch.past), 1)
	same(t, "text", c.watch.past[0].Text, fmt.Sprintf("No answer since {t:%d}", now.Add(4*time.Second).UnixMilli()))
}

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
	s.collector.read(func(c *cluster) { c.now = c.now.Add(-8 * time.Second) }) // as if nobody had looked
	before := time.Now()
	from := int64(get(t, url+"/api/q/history?kind=cluster&span=5m").decoded(t)["from"].(float64))
	if end := from + fineSlots*1000; end < before.UnixMilli() {
		t.Errorf("history ends %d ms ago", before.UnixMilli()-end)
	}
}

func TestActivityNamesNodesAndListsNoResultsAsNone(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	s, url := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.updatesUntil(t, func(c *cluster) bool { return c.order[0].introduced })
	postJSON(t, url+"/api/q/publish", fmt.Sprintf(`{"topic":"t","node":"127.0.0.1:%d","body":"x"}`, a.port()))
	e := at(t, get(t, url+"/api/q/activity").decoded(t), "data", "entries", 0)
	same(t, "name", at(t, e, "name"), "a")
	same(t, "results", at(t, e, "results"), "[]")
}

// TestLogTellsWhoStopsToAnswerAndWhoIsBack: once for each change, however often
// is asked.
func TestLogTellsWhoStopsToAnswerAndWhoIsBack(t *testing.T) {
	c, now := clusterOf("a", "b")
	c.setLookupds([]string{"d:4161"})
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	answers := func(from, to int, well bool) {
		for s := from; s < to; s++ {
			at := now.Add(time.Duration(s) * lookupEvery)
			c.hear("a", statsAt(1, 10, 5), at)
			if well {
				c.hear("b", statsAt(1, 10, 7), at)
				c.lookupds[0].answered()
			} else {
				c.nodes["b:4151"].miss(at, "refused")
				c.lookupds[0].miss(at, "timeout")
			}
			c.update(at, lookupEvery)
			logTurns(log, c.turns())
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
	logTurns(slog.New(slog.NewTextHandler(&text, nil)), slices.Repeat([]turn{{kind: "node", address: "a:1", lost: true}}, 1000))
	if n := strings.Count(text.String(), "\n"); n != mostTurns+1 || !strings.Contains(text.String(), "count=980") {
		t.Errorf("%d lines: %s", n, text.String())
	}
}

// TestDamageIsNotIllness: a node that found damage runs, and is not shown like
// one that refuses publishes.
func TestDamageIsNotIllness(t *testing.T) {
	c, now := clusterOf("a", "b")
	damaged, ill := statsAt(1, 10, 5), statsAt(1, 10, 7)
	damaged.Damage = &nodeclient.Damage{Messages: 3, Findings: []nodeclient.Finding{{Kind: "missing", Topic: "t", Messages: 3}}}
	ill.Health = "NOK - the disk is full"
	c.hear("a", damaged, now)
	c.hear("b", ill, now)
	c.update(now, time.Second)
	v := new(Server).overview(c)
	same(t, "states", []any{v.Nodes[0].State, v.Nodes[0].Damaged, v.Nodes[1].State, v.Nodes[1].Damaged}, "[ok true crit false]")
	same(t, "run normally", v.Normal, "{1 1 1}")
	for _, l := range v.Attention {
		same(t, "rule of "+l.Node, l.Rule, map[string]string{"a:4151": "damage", "b:4151": "unhealthy"}[l.Node])
	}
}
