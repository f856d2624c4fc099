package admin

import (
	"fmt"
	"testing"
	"time"

	"qmq/admin/cluster"
	"qmq/test/process"
)

// TestHistoryIsKeptOverARestart writes a minute as the keeper does, and reads it with another
// qadmin.
func TestHistoryIsKeptOverARestart(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 100, aChannel("c", 7, 90)), aTopic("idle", 0))
	dir := t.TempDir()
	s, base := startServer(t, Options{Nodes: []string{a.address()}, HistoryDir: dir})
	get(t, base+"/api/q/overview")
	s.keeper.stop() // its place is taken by the test
	var minute int64
	process.Eventually(t, "two answers are compared", func() bool { // then there is history
		s.collector.poke()
		s.collector.read(func(c *cluster.Cluster) { minute = c.UpdatedAt().Unix() / 60 })
		s.keeper.keep(minute)
		return s.keeper.past.Keeps("channel", "t", "c")
	})
	same(t, "kept", []any{s.keeper.past.Keeps("channel", "t", "c"), s.keeper.past.Keeps("topic", "idle")}, "[true false]")

	_, base = startServer(t, Options{Nodes: []string{a.address()}, HistoryDir: dir})
	get(t, base+"/api/q/overview")
	same(t, "told", get(t, base+"/api/q/me").decoded(t)["history_kept"], true)
	for span, step := range map[string]int{"6h": 60, "24h": 300, "7d": 1800} {
		h := get(t, base+"/api/q/history?kind=channel&topic=t&channel=c&span="+span).decoded(t)
		same(t, span+", step", int(at(t, h, "step_ms").(float64)), step*1000)
		depth := at(t, h, "series", "depth").([]any)
		same(t, span+", values", len(depth), at(t, h, "n"))
		from := int64(at(t, h, "from").(float64))
		if place := (minute*60_000 - from) / int64(step*1000); place >= 0 && place < int64(len(depth)) {
			same(t, span, fmt.Sprint(depth[place]), 7)
		} else if time.Since(time.Unix(minute*60, 0)) > 2*time.Minute {
			t.Errorf("%s: the minute is not in it", span)
		}
	}
	same(t, "no such span", get(t, base+"/api/q/history?kind=cluster&span=8d").status, 400)
	_, base = startServer(t, Options{Nodes: []string{a.address()}})
	same(t, "not kept", get(t, base+"/api/q/history?kind=cluster&span=6h").status, 400)
}
