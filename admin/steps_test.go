package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qmq/lookup"
)

func TestManyNodesThatHangKeepNobodyFromBeingAsked(t *testing.T) {
	fast := startNode(t, "fast", aTopic("t", 1))
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hang.Close()
	defer close(release)
	nodes := []string{fast.address()}
	for i := range 3 * questionsOnce {
		nodes = append(nodes, strings.Replace(hang.URL, "//", fmt.Sprintf("//n%d@", i), 1)) // one by many names
	}
	s, _ := startServer(t, Options{Nodes: nodes, ConnectTimeout: time.Second, RequestTimeout: time.Minute})
	leave, _ := s.collector.enter("x", 9)
	defer leave()
	s.collector.updatesUntil(t, func(c *cluster) bool {
		n := c.node(fast.address())
		return n != nil && n.streak >= 4
	})
}

func TestDirectoryWithManyInactiveTopicsIsNotSilent(t *testing.T) {
	reached, release := make(chan struct{}, 1), make(chan struct{})
	d := startDirectory(t, nil, "lonely")
	inner := d.Config.Handler
	d.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/channels" {
			reached <- struct{}{}
			<-release
		}
		inner.ServeHTTP(w, r)
	})
	up := newUpstream(&Options{ConnectTimeout: time.Second, RequestTimeout: time.Minute})
	c := newCollector(up, []string{d.address()}, 1<<20, nil)
	defer c.stopQuestions()
	defer close(release)
	now := time.Now()
	c.ask(now)
	<-reached
	c.ask(now.Add(lookupEvery))
	c.read(func(k *cluster) { same(t, "questions it missed", k.lookupds[0].missed, 0) })
	<-c.settled
	c.read(func(k *cluster) { same(t, "answers", k.lookupds[0].asked, 2) })
}

func TestQuestionThatIsLateAndFailsIsMissedOnce(t *testing.T) {
	l := &lookupd{address: "l:1"}
	now := time.Now()
	l.miss(now, "no answer in time")
	l.miss(now.Add(time.Millisecond), "connection reset")
	same(t, "missed", l.missed, 1)
	l.miss(now.Add(lookupEvery), "refused")
	same(t, "missed", l.missed, 2)
}

func TestDirectoryThatWasTakenOffTheListIsNotHeard(t *testing.T) {
	c := newCollector(newUpstream(&Options{}), []string{"l:1", "l:2", "l:1"}, 1<<20, nil)
	same(t, "directories", len(c.cluster.lookupds), 2)
	was := c.cluster.lookupds[0]
	c.read(func(k *cluster) { k.setLookupds([]string{"l:2"}) })
	nodes := []lookup.ClusterNode{{Identity: lookup.Identity{Hostname: "a", BroadcastAddress: "a", HTTPPort: 4151}}}
	if c.heard(was, nil, nodes, 0, "", nil) {
		t.Error("it is asked more")
	}
	same(t, "nodes", len(c.cluster.nodes), 0)
}

func TestNodesThatWereGivenStayWhenDirectoriesAreConfigured(t *testing.T) {
	a, _, d := twoNodes(t)
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	s.SetLookupds([]string{d.address()})
	s.collector.read(func(c *cluster) { same(t, "directories", len(c.lookupds), 0) })
	same(t, "upstreams", at(t, get(t, base+"/api/q/me").decoded(t), "upstreams"), "["+a.address()+"]")
}

func TestNodeThatIsOftenLateIsSilentSinceItsLastAnswer(t *testing.T) {
	n := newNode("a:1", "a:1")
	now := time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	for range 100 {
		now = now.Add(time.Second)
		n.miss(now, "no answer in time")
		n.answered()
	}
	same(t, "silent", n.silent.IsZero(), true)
	dead := now.Add(time.Second)
	for i := range 5 {
		n.miss(dead.Add(time.Duration(i)*time.Second), "refused")
	}
	same(t, "silent since", n.silent, dead)
	n.answered()
	n.answered()
	same(t, "still, after two answers", n.silent, dead)
	n.answered()
	same(t, "silent after three", n.silent.IsZero(), true)
}

// TestLinesOutlastTheSilenceOfTheirNodes: nobody knows that what they say is
// over.
func TestLinesOutlastTheSilenceOfTheirNodes(t *testing.T) {
	s := newScene(t)
	s.do("node qd-1")
	s.do("channel t/c grow=5 in=5")
	s.do("run 3m")
	same(t, "line", s.c.watch.known["no_consumers/t/c"] != nil, true)
	s.do("node qd-1 silent=yes")
	s.do("run 2m")
	same(t, "line while nobody knows", s.c.watch.known["no_consumers/t/c"] != nil, true)
	s.do("channel t/c consumers=1")
	s.do("node qd-1 silent=no")
	s.do("run 5s")
	same(t, "line with a consumer", s.c.watch.known["no_consumers/t/c"] != nil, false)
}

func TestConsumersThatAreAwayForAMomentAreNoLine(t *testing.T) {
	s := newScene(t)
	s.do("node qd-1")
	s.do("channel t/c consumers=3 grow=5 in=5")
	s.do("run 5m")
	s.do("channel t/c consumers=0")
	s.do("run 1m")
	same(t, "lines", len(s.c.watch.open), 0)
	s.do("run 2m")
	same(t, "lines", len(s.c.watch.open), 1)
}

func TestDirectoryThatIsLateDoesNotEndTheLineOfANodeThatItLacks(t *testing.T) {
	s := newScene(t)
	s.do("node qd-1 listed=yes")
	s.do("run 1s")
	s.do("node qd-1 listed=no")
	s.do("run 5s")
	same(t, "lines", len(s.c.watch.open), 1)
	s.c.lookupds[0].miss(s.now, "no answer in time")
	s.c.update(s.now, time.Second)
	same(t, "lines", len(s.c.watch.open), 1)
}

func TestEmptyingATopicLeavesItsChannelsAlone(t *testing.T) {
	c, now := clusterOf("a")
	c.hear("a", statsAt(1, 1000, 1000), now)
	c.update(now, time.Second)
	c.expectEmpty(&order{Action: "empty_topic", Topic: "t"}, now)
	c.hear("a", statsAt(1, 1000, 900), now.Add(time.Second))
	c.update(now.Add(time.Second), time.Second)
	same(t, "finished", c.sums.finished, 100)
}

func TestNodeThatDoesNotTellItsStartIsAskedWhoItIs(t *testing.T) {
	a := startNode(t, "old")
	a.set(func(n *fakeNode) { delete(n.stats, "start_time") })
	s, _ := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.updatesUntil(t, func(c *cluster) bool { return c.order[0].name == "old" })
}

func TestFirstValueOfASlotIsNotThinnedByAllZerosBefore(t *testing.T) {
	b := &allowance{1 << 20}
	var s series
	const start = 1_700_000_000
	for i := range int64(505) {
		s.add(b, start+i, 0)
	}
	for i := range int64(5) {
		s.add(b, start+505+i, 1000)
	}
	same(t, "mean of five zeros and five thousands", s.coarse.at(coarseSlots, (start+509)/coarseStep), 500)
}

func TestNoMoreViewersThanAllowedComeInTogether(t *testing.T) {
	c := newCollector(newUpstream(&Options{}), nil, 1<<20, nil)
	leave, ok := c.enter("x", 1)
	if _, more := c.enter("x", 1); !ok || more {
		t.Errorf("%v, %v", ok, more)
	}
	leave()
	if _, ok := c.enter("x", 1); !ok {
		t.Error("the place is not free again")
	}
}

func TestConsumersAreNotAskedOfNodesThatAreSilent(t *testing.T) {
	c, now := clusterOf("a", "b")
	for _, name := range []string{"a", "b"} {
		c.hear(name, statsAt(1, 1, 1), now)
	}
	c.nodes["b:4151"].miss(now, "refused")
	asked := make(chan string, 2)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host
		answerJSON(w, object{"topics": nil})
	}))
	defer node.Close()
	for _, n := range c.nodes {
		n.address = strings.TrimPrefix(node.URL, "http://")
	}
	k := newCollector(newUpstream(&Options{}), nil, 1<<20, nil)
	k.cluster = c
	var known <-chan struct{}
	k.read(func(*cluster) { known = k.crowd.look(pair{"t", "c"}, now) })
	<-known
	same(t, "questions", len(asked), 1)
}
