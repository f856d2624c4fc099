package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// updates waits until a condition holds after some update.
func (c *collector) updatesUntil(t *testing.T, is func(*cluster) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		holds := false
		_, next := c.read(func(k *cluster) { holds = is(k) })
		if holds {
			return
		}
		select {
		case <-next:
		case <-timeout:
			t.Fatal("it did not come to that")
		}
	}
}

func TestSlowNodeDelaysNobodyAndHasOneQuestionAtATime(t *testing.T) {
	fast := startNode(t, "fast", aTopic("t", 1))
	release := make(chan struct{})
	var mu sync.Mutex
	asking, most := 0, 0
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asking++
		most = max(most, asking)
		mu.Unlock()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		mu.Lock()
		asking--
		mu.Unlock()
	}))
	defer slow.Close()
	defer close(release)
	s, _ := startServer(t, Options{Nodes: []string{fast.address(), strings.TrimPrefix(slow.URL, "http://")}, ConnectTimeout: time.Second, RequestTimeout: 20 * time.Second})
	leave, _ := s.collector.enter("x", 9)
	defer leave()
	start := time.Now()
	s.collector.updatesUntil(t, func(c *cluster) bool { n := c.node(fast.address()); return n != nil && n.asks >= 4 })
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("four answers of the fast node took %s", took)
	}
	s.collector.updatesUntil(t, func(c *cluster) bool { return c.nodes[strings.TrimPrefix(slow.URL, "http://")].missed >= missedPolls })
	mu.Lock()
	defer mu.Unlock()
	same(t, "questions at a time", most, 1)
}

func TestNodesAreAskedOftenOnlyWhileSomebodyLooks(t *testing.T) {
	a := startNode(t, "a")
	s, _ := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.firstUpdate(t.Context())
	same(t, "without viewers", s.collector.interval(), idleInterval)
	leave, _ := s.collector.enter("x", 9)
	same(t, "with one", s.collector.interval(), liveInterval)
	s.collector.updatesUntil(t, func(c *cluster) bool { return c.order[0].asks >= 3 })
	leave()
	same(t, "without viewers", s.collector.interval(), idleInterval)
}

func TestMemoryOfNodesIsAskedForRarely(t *testing.T) {
	a := startNode(t, "a")
	s, _ := startServer(t, Options{Nodes: []string{a.address()}})
	leave, _ := s.collector.enter("x", 9)
	defer leave()
	s.collector.updatesUntil(t, func(c *cluster) bool { return c.order[0].asks >= 4 })
	a.set(func(n *fakeNode) {
		with := 0
		for _, q := range n.asked {
			if !strings.Contains(q, "include_mem=false") {
				with++
			}
		}
		same(t, "questions with memory", with, 1)
	})
}

func TestNodeThatNoDirectoryKnowsAndThatIsSilentIsForgotten(t *testing.T) {
	c := newCluster(1 << 20)
	c.setLookupds([]string{"l:1"})
	s := newScene(t)
	s.c = c
	s.c.lookupds[0].address = "lookupd:4161"
	s.do("node qd-1")
	s.do("node qd-2")
	s.do("run 5s")
	s.do("node qd-2 listed=no silent=yes")
	s.do("run 9m")
	same(t, "nodes", len(c.order), 2)
	s.do("run 2m")
	same(t, "nodes", len(c.order), 1)
	same(t, "lines about it", len(c.watch.open), 0)
}
