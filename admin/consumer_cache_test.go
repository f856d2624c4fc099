package admin

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"qmq/admin/cluster"
)

// readFrames reads n frames of a stream.
func readFrames(ctx context.Context, url string, n int) error {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for in := bufio.NewReader(resp.Body); n > 0; {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "event: frame") {
			n--
		}
	}
	return nil
}

// TestManyViewersWhileThingsChange is of use with the race detector mostly.
func TestManyViewersWhileThingsChange(t *testing.T) {
	a, b, d := twoNodes(t)
	s, base := startServer(t, Options{Lookupds: []string{d.address()}, MaxViewers: 200})
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool { v := c.TopicsView(); return len(v.Rows) == 2 && len(v.Without) == 0 })
	views := []string{"overview", "topics", "topic&topic=t", "channel&topic=t&channel=c", "nodes", "node&node=" + a.address(), "lookup", "counter", "activity"}
	var looking sync.WaitGroup
	for i := range 5 * len(views) {
		looking.Go(func() {
			if err := readFrames(t.Context(), base+"/api/q/stream?view="+views[i%len(views)], 3); err != nil {
				t.Error(err)
			}
		})
	}
	orders := []string{`{"action":"pause_channel","topic":"t","channel":"c"}`, `{"action":"empty_topic","topic":"t"}`, `{"action":"create_topic","topic":"new"}`}
	for i := range 4 {
		looking.Go(func() {
			for j := range 6 {
				resp, err := http.Post(base+"/api/q/act", "application/json", strings.NewReader(orders[(i+j)%len(orders)]))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				for _, path := range []string{"names", "history?kind=cluster&span=5m", "me", "sparks?topic=t", "activity", "peek?topic=t&channel=c"} {
					if resp, err := http.Get(base + "/api/q/" + path); err != nil || resp.StatusCode != 200 {
						t.Errorf("%s: %v, %v", path, resp, err)
					} else {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			}
		})
	}
	looking.Go(func() {
		for range 3 {
			s.SetLookupds([]string{d.address(), "127.0.0.1:1"})
			b.set(func(n *fakeNode) { n.down = !n.down })
			s.SetLookupds([]string{d.address()})
		}
	})
	looking.Wait()
}

func TestActivityIsShownAtOnceThoughItIsMadeOnceForAll(t *testing.T) {
	s, base := startServer(t, Options{Nodes: []string{"127.0.0.1:1"}})
	entries := func() int {
		return len(at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries").([]any))
	}
	same(t, "entries", entries(), 0)
	s.activity.add(entry{User: "maria", Action: "login", OK: true})
	same(t, "entries", entries(), 1)
	first, _, _ := s.frames.get(cluster.View{Kind: "activity"})
	again, _, _ := s.frames.get(cluster.View{Kind: "activity"})
	s.collector.read(func(*cluster.Cluster) {
		if s.frames.update == s.collector.updates && &first.json[0] != &again.json[0] {
			t.Error("the same was made twice")
		}
	})
}
