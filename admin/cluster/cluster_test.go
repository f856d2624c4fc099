package cluster

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// clusterOf has nodes that were never asked.
func clusterOf(names ...string) (*Cluster, time.Time) {
	c := New(64<<20, nil)
	for _, name := range names {
		n := newNode(name+":4151", name+":4151")
		n.host = name
		c.nodes[n.address] = n
	}
	c.sortNodes()
	return c, time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
}

// statsAt are those of a node with topic t, channel c.
func statsAt(start, published, depth int64) *nodeclient.Stats {
	return &nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: start, HeapInUse: -1, Topics: []nodeclient.Topic{{
		Name: "t", Messages: published, Bytes: 100 * published,
		Channels: []nodeclient.Channel{{Name: "c", Messages: published, Depth: depth, ClientCount: 1}},
	}}}
}

func (c *Cluster) hear(name string, s *nodeclient.Stats, at time.Time) (restarted bool) {
	n := c.nodes[name+":4151"]
	n.answered()
	return n.take(&c.budget, s, at, c.wasEmptied)
}

func TestRatesComeFromCountersAndRealIntervals(t *testing.T) {
	c, now := clusterOf("a", "b")
	c.hear("a", statsAt(1, 1000, 0), now)
	c.hear("b", statsAt(1, 0, 0), now)
	c.Update(now, time.Second)
	if c.rated || c.history[rowPublished].recent(5).known() {
		t.Error("one answer gives a rate")
	}
	later := now.Add(2500 * time.Millisecond)
	c.hear("a", statsAt(1, 2000, 0), later)
	c.hear("b", statsAt(1, 250, 50), later)
	c.Update(later, time.Second)
	same(t, "published", c.sums.published, 400+100)
	same(t, "bytes", c.sums.bytes, 50_000)
	same(t, "finished", c.sums.finished, 400+80)
	same(t, "of the topic", c.topics["t"].row(nil).PubRate, 500)
	same(t, "of the channel", c.topics["t"].channelRow(c.topics["t"].channels["c"], nil, later.Unix()).InRate, 500)
}

func TestRestartIsNoSpike(t *testing.T) {
	c, now := clusterOf("a")
	for i, s := range []*nodeclient.Stats{statsAt(1, 1000, 0), statsAt(1, 1010, 0), statsAt(99, 500_000, 0), statsAt(99, 500_010, 0)} {
		at := now.Add(time.Duration(i) * time.Second)
		restarted := c.hear("a", s, at)
		if restarted != (i == 2) {
			t.Errorf("answer %d: restarted %v", i, restarted)
		}
		c.Update(at, time.Second)
		if c.sums.published > 10 {
			t.Errorf("answer %d: %v/s", i, c.sums.published)
		}
	}
}

func TestRecreatedTopicAndCountersThatFallAreNoSpike(t *testing.T) {
	c, now := clusterOf("a")
	for i, published := range []int64{1000, 5, 10} {
		at := now.Add(time.Duration(i) * time.Second)
		c.hear("a", statsAt(1, published, 0), at)
		c.Update(at, time.Second)
	}
	same(t, "published", c.sums.published, 5)
	same(t, "in", c.topics["t"].channels["c"].sums.in, 5)
}

func TestEmptyingIsNotFinishing(t *testing.T) {
	c, now := clusterOf("a")
	c.hear("a", statsAt(1, 1000, 1000), now)
	c.Update(now, time.Second)
	c.emptied[Pair{"t", "c"}] = now
	c.hear("a", statsAt(1, 1000, 0), now.Add(time.Second))
	c.Update(now.Add(time.Second), time.Second)
	same(t, "finished", c.sums.finished, 0)
}

func TestSilentNodeLeavesTheSumsAndIsListed(t *testing.T) {
	c, now := clusterOf("a", "b")
	c.hear("a", statsAt(1, 10, 5), now)
	c.hear("b", statsAt(1, 10, 7), now)
	c.Update(now, time.Second)
	same(t, "depth", c.sums.depth, 12)
	for s := 1; s <= 7; s++ {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, 10, 5), at)
		c.nodes["b:4151"].miss(at, "refused")
		c.Update(at, time.Second)
	}
	same(t, "depth", c.sums.depth, 5)
	same(t, "without", c.without(), "[b]")
	same(t, "topic on nodes", c.topics["t"].nodes, 1)
	same(t, "its figures are still there", c.nodes["b:4151"].sums.depth, 7)
	same(t, "its rate", c.nodeRow(c.nodes["b:4151"], "").PubRate.known(), false)
	marks := c.marksOf(View{Kind: "cluster"}, now.Add(-time.Hour))
	same(t, "marks", marks, fmt.Sprintf("[{%d without b silent b:4151}]", now.UnixMilli()))
	at := now.Add(8 * time.Second)
	c.hear("b", statsAt(1, 10, 7), at)
	c.Update(at, time.Second)
	same(t, "depth with b", c.sums.depth, 12)
	same(t, "marks", len(c.marksOf(View{Kind: "cluster"}, now.Add(-time.Hour))), 2)
}

func TestDeletedTopicsGiveTheirMemoryBack(t *testing.T) {
	c, now := clusterOf("a")
	whole := c.budget.left
	for s := range 3 {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, int64(100*s), 7), at)
		c.Update(at, time.Second)
	}
	if c.budget.left >= whole-4*fineSlots {
		t.Fatal("history takes no memory")
	}
	used := whole - c.budget.left
	gone := now.Add(4 * time.Second)
	c.hear("a", &nodeclient.Stats{Version: "2.0.0", StartTime: 1, Topics: []nodeclient.Topic{}}, gone)
	c.Update(gone, time.Second)
	if len(c.topics) != 0 {
		t.Error("the topic is still there")
	}
	rest := 0
	for _, h := range []history{c.history, c.counter, c.nodes["a:4151"].history} {
		for i := range h {
			rest += 4 * (len(h[i].fine.slots) + len(h[i].coarse.slots))
		}
	}
	same(t, "memory that is used", whole-c.budget.left, rest)
	if rest >= used {
		t.Error("nothing was given back")
	}
}

func TestHistoryStopsAtItsBudgetAndGoesOnWithout(t *testing.T) {
	c, now := clusterOf("a")
	c.budget.left = 10_000
	for s := range 20 {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, int64(100*s), int64(s)), at)
		c.Update(at, time.Second)
	}
	if c.budget.left < 0 {
		t.Errorf("budget is %d", c.budget.left)
	}
	same(t, "depth is still known", c.sums.depth, 19)
}

func TestRingKeepsGapsFillsAndForgets(t *testing.T) {
	b := &allowance{1 << 20}
	var r ring
	const size = 10
	r.add(b, size, 100, 3, 0)
	same(t, "zeros take no memory", r.slots == nil, true)
	r.add(b, size, 101, 3, 5)
	r.add(b, size, 104, 3, 8)  // filled
	r.add(b, size, 108, 3, 1)  // a gap
	r.add(b, size, 108, 3, 3)  // the mean
	r.add(b, size, 106, 3, 99) // the clock was set back a little
	want := []string{"null", "0", "5", "8", "8", "8", "null", "null", "null", "2", "null"}
	var got []string
	for slot := int64(99); slot <= 109; slot++ {
		got = append(got, string(Figure(r.at(size, slot)).append(nil)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	r.add(b, size, 200, 3, 7)
	if v := r.at(size, 195); v == v {
		t.Errorf("a slot of long ago shows %v", v)
	}
	r.add(b, size, 150, 3, 4) // the clock was set back
	r.add(b, size, 151, 3, 6)
	same(t, "after the clock was set back", r.read(size, 151, 4), "[NaN NaN 4 6]")
	r.free(b)
	same(t, "budget", b.left, 1<<20)
}

func TestHourOfHistoryInTwoResolutions(t *testing.T) {
	b := &allowance{1 << 20}
	h := newHistory([]string{"x"})
	const start = 1_700_000_000
	for s := range int64(4000) {
		h.add(b, start+s, float64(s))
	}
	end := int64(start + 3999)
	from, rows := h.read([]string{"x"}, Spans["5m"], end)
	same(t, "from", from, end-299)
	same(t, "first and last second", []any{rows["x"][0], rows["x"][299]}, "[3700 3999]")
	from, rows = h.read([]string{"x"}, Spans["1h"], end)
	same(t, "from", from, end/10*10-3590)
	same(t, "mean of ten seconds", rows["x"][358], Figure(end/10*10-10-start)+4.5)
	same(t, "minutes", len(h[0].spark(end)), 60)
	if !h[0].spark(end)[0].known() {
		t.Error("the first minute is not known")
	}
}

func TestIdlePollsLeaveNoGaps(t *testing.T) {
	b := &allowance{1 << 20}
	h := newHistory([]string{"x"})
	for s := int64(0); s <= 600; s += 10 {
		h.add(b, 1_700_000_000+s, 4)
	}
	_, rows := h.read([]string{"x"}, Spans["5m"], 1_700_000_600)
	for i, v := range rows["x"] {
		if v != 4 {
			t.Fatalf("second %d is %v", i, v)
		}
	}
}

func TestLatenciesAreWeightedByCount(t *testing.T) {
	var l latencies
	l.add(nodeclient.Latency{Count: 1, Percentiles: []nodeclient.Percentile{{Quantile: 0.99, Value: 1e6}}})
	l.add(nodeclient.Latency{Count: 3, Percentiles: []nodeclient.Percentile{{Quantile: 0.99, Value: 5e6}, {Quantile: 0.5, Value: 2e6}}})
	l.add(nodeclient.Latency{Percentiles: []nodeclient.Percentile{{Quantile: 0.99, Value: 9e9}}})
	same(t, "rows", l.rows(), "[{0.99 4} {0.5 2}]")
	if !math.IsNaN(l.ms(0.95)) {
		t.Error("a percentile that nobody measures is known")
	}
}

func TestFiguresInJSON(t *testing.T) {
	same(t, "unknown", string(Figure(math.Inf(1)).append(nil)), "null")
	same(t, "nearly zero", string(Figure(-0.001).append(nil)), "0")
}
