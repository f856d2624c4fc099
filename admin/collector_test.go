package admin

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/admin/cluster"
)

// updates waits until a condition holds after some update.
func (c *collector) updatesUntil(t *testing.T, is func(*cluster.Cluster) bool) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		holds := false
		_, next := c.read(func(k *cluster.Cluster) { holds = is(k) })
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
	s, _ := startServer(t, Options{Nodes: []string{fast.address(), strings.TrimPrefix(slow.URL, "http://")}, ConnectTimeout: time.Minute, RequestTimeout: time.Hour}) // it gives no answer until the end
	leave, _ := s.collector.enter("x", 9)
	defer leave()
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool { return len(fast.questions()) > 4 })
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool {
		return slices.ContainsFunc(c.NodesView().Nodes, func(n cluster.NodeRow) bool {
			return n.HTTP == strings.TrimPrefix(slow.URL, "http://") && n.State == cluster.LevelCrit
		})
	})
	mu.Lock()
	defer mu.Unlock()
	same(t, "questions at a time", most, 1)
}

func TestNodesAreAskedOftenOnlyWhileSomebodyLooks(t *testing.T) {
	a := startNode(t, "a")
	s, _ := startServer(t, Options{Nodes: []string{a.address()}})
	s.collector.firstUpdate(t.Context())
	same(t, "without viewers", s.collector.interval(), cluster.IdleInterval)
	leave, _ := s.collector.enter("x", 9)
	same(t, "with one", s.collector.interval(), cluster.LiveInterval)
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool { return len(a.questions()) >= 3 })
	leave()
	same(t, "without viewers", s.collector.interval(), cluster.IdleInterval)
}

func TestMemoryOfNodesIsAskedForRarely(t *testing.T) {
	a := startNode(t, "a")
	began := time.Now()
	s, _ := startServer(t, Options{Nodes: []string{a.address()}})
	leave, _ := s.collector.enter("x", 9)
	defer leave()
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool { return len(a.questions()) >= 4 })
	a.set(func(n *fakeNode) {
		with := 0
		for _, q := range n.asked {
			if !strings.Contains(q, "include_mem=false") {
				with++
			}
		}
		if most := 1 + int(time.Since(began)/(10*time.Second)); with < 1 || with > most {
			t.Errorf("%d questions with memory in %s", with, time.Since(began))
		}
	})
}
