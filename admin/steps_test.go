package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/nodeclient"
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
	s, _ := startServer(t, Options{Nodes: nodes, ConnectTimeout: time.Minute, RequestTimeout: time.Minute})
	leave, _ := s.collector.enter("x", 9)
	defer leave()
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool {
		return len(fast.questions()) > 4
	})
}

func TestDirectoryWithManyInactiveTopicsIsNotSilent(t *testing.T) {
	reached, release := make(chan struct{}, 1), make(chan struct{})
	d := startDirectory(t, nil, "lonely")
	inner := d.Config.Handler
	var lists atomic.Int32
	d.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/nodes" {
			lists.Add(1)
		}
		if r.URL.Path == "/channels" {
			reached <- struct{}{}
			<-release
		}
		inner.ServeHTTP(w, r)
	})
	up := newUpstream(&Options{ConnectTimeout: time.Minute, RequestTimeout: time.Minute})
	c := newCollector(up, []string{d.address()}, 1<<20, nil)
	defer c.stopQuestions()
	defer close(release)
	now := time.Now()
	c.ask(now)
	<-reached
	c.ask(now.Add(cluster.LookupEvery))
	c.read(func(k *cluster.Cluster) { same(t, "what is wrong with it", k.NodesView().Lookupds[0].Error, "") })
	<-c.answered
	same(t, "answers", lists.Load(), 2)
}

func TestNodesThatWereGivenStayWhenDirectoriesAreConfigured(t *testing.T) {
	a, _, d := twoNodes(t)
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	s.SetLookupds([]string{d.address()})
	s.collector.read(func(c *cluster.Cluster) { same(t, "directories", len(c.NodesView().Lookupds), 0) })
	same(t, "upstreams", at(t, get(t, base+"/api/q/me").decoded(t), "upstreams"), "["+a.address()+"]")
}

func TestEmptyingATopicLeavesItsChannelsAlone(t *testing.T) {
	c, now := cluster.New(1<<20, []string{"a:4151"}), time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	hear := func(depth int64) {
		_, asked := c.Due(now)
		c.NodeAnswered(asked[0], cluster.NodeAnswer{Stats: nodeStats(depth)}, now)
		c.Update(now, time.Second)
		now = now.Add(time.Second)
	}
	hear(1000)
	expectEmpty(c, &order{Action: "empty_topic", Topic: "t"})
	hear(900)
	channel := c.Build(cluster.View{Kind: "channel", Topic: "t", Channel: "c"}, cluster.Consumers{}).(*cluster.ChannelView)
	same(t, "finished", channel.Figures.FinishRate, 100)
}

func TestNodeThatDoesNotTellItsStartIsAskedWhoItIs(t *testing.T) {
	a := startNode(t, "old")
	a.set(func(n *fakeNode) { delete(n.stats, "start_time") })
	s, _ := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool { return c.NodesView().Nodes[0].Name == "old" })
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
	a, b := startNode(t, "a", aTopic("t", 1, aChannel("c", 1, 1))), startNode(t, "b", aTopic("t", 1, aChannel("c", 1, 1)))
	k := testCollector([]string{a.address(), b.address()}, 1<<20)
	defer k.stopQuestions()
	k.refresh()
	b.Close()
	k.ask(time.Now().Add(time.Minute))
	<-k.answered
	asked := len(a.questions())
	var known <-chan struct{}
	k.read(func(*cluster.Cluster) { known = k.consumers.look(cluster.Pair{Topic: "t", Channel: "c"}, time.Now()) })
	<-known
	same(t, "questions", len(a.questions())-asked, 1)
	k.read(func(*cluster.Cluster) {
		targets := k.consumers.targets(cluster.Pair{Topic: "t", Channel: "c"})
		same(t, "nodes that are asked", len(targets), 1)
	})
}

// nodeStats are those of a node with topic t, channel c, in which depth messages
// wait.
func nodeStats(depth int64) *nodeclient.Stats {
	return &nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: 1, HeapInUse: -1, Topics: []nodeclient.Topic{{
		Name: "t", Messages: 1000, Channels: []nodeclient.Channel{{Name: "c", Messages: 1000, Depth: depth, ClientCount: 1}},
	}}}
}
