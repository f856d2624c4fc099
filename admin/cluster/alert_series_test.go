package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDepthSeries are depths as they were recorded, a second apart, and the first
// line that each leads to.
func TestDepthSeries(t *testing.T) {
	for name, test := range map[string]struct {
		consumers int64
		bare      bool
		minutes   int
		depth     func(s int) int64
		want      string // "" for no line at all
	}{
		"net growth of 5/s with dips": {consumers: 2, minutes: 30,
			depth: func(s int) int64 { return int64(5*s + []int{0, 200, 400, 150, 300, 50}[s/10%6]) },
			want:  "10m1s warn Depth grows by 5.3/s for 10 min"},
		"net growth of 5/s with a dip every minute": {consumers: 2, minutes: 30,
			depth: func(s int) int64 { return int64(max(0, 5*(s/60*60)+20*(s%60))) },
			want:  "10m1s warn Depth grows by 5.3/s for 10 min"},
		"up and down around the same": {consumers: 2, minutes: 60,
			depth: func(s int) int64 { return int64(1000 + 7919*s%601 - 300) }},
		"one message in 50 s without consumers": {minutes: 30,
			depth: func(s int) int64 { return int64(s / 50) },
			want:  "10m1s crit No consumers for at least 10 min, and depth grows by 1.2/min"},
		"one message an hour without consumers": {minutes: 120,
			depth: func(s int) int64 { return int64(s / 3600) }},
		"a burst that ends, without consumers": {minutes: 30,
			depth: func(s int) int64 { return int64(min(max(s-300, 0), 60) * 1000) }},
		"a burst that ends, with consumers": {consumers: 1, minutes: 30,
			depth: func(s int) int64 { return int64(min(max(s-300, 0), 60)*1000 - max(s-360, 0)) }},
		"a burst that stays, with consumers": {consumers: 1, minutes: 60,
			depth: func(s int) int64 { return int64(min(max(s-300, 0), 60) * 1000) }},
		"a topic without channels that fills": {bare: true, minutes: 10,
			depth: func(s int) int64 { return int64(3 * s) },
			want:  "2m1s warn No channel: 363 messages wait for a first one, and depth grows by 3/s"},
		"a topic without channels in which messages wait": {bare: true, minutes: 30,
			depth: func(int) int64 { return 5000 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.do("node qd-1")
			s.do("channel t/c")
			c := s.channels[Pair{"t", "c"}]
			c.consumers, c.noChannel, c.series = test.consumers, test.bare, test.depth
			got := ""
			for range 60 * test.minutes {
				s.step()
				if len(s.c.alerts.open) > 0 && got == "" {
					l := s.c.alerts.open[0]
					got = fmt.Sprintf("%s %s %s", s.clock(s.now), l.Level, l.Text)
				}
			}
			same(t, "line", got, test.want)
		})
	}
}

// TestNodeThatComesBackHasNotGrown: what it brings along was there before.
func TestNodeThatComesBackHasNotGrown(t *testing.T) {
	c, now := clusterOf("a", "b")
	for s := range 40 * 60 {
		at := now.Add(time.Duration(s) * time.Second)
		stats := statsAt(1, 1000, 100)
		stats.Topics[0].Channels[0].ClientCount = int64(s / 1200) // none in the first half
		c.hear("a", stats, at)
		if s%900 < 300 { // it is there for five minutes in fifteen
			big := statsAt(1, 1000, 50_000)
			big.Topics[0].Channels[0].ClientCount = int64(s / 1200)
			c.hear("b", big, at)
		} else {
			c.nodes["b:4151"].miss(at, "refused")
		}
		c.Update(at, time.Second)
		for _, l := range c.alerts.open {
			if l.Rule != "silent" {
				t.Fatalf("after %d s: %s %s", s, l.ID, l.Text)
			}
		}
	}
}

func TestWhatIsOverIsToldInThePastTense(t *testing.T) {
	s := newScene(t)
	s.do("node qd-1")
	s.do("run 1m")
	s.do("channel t/c grow=92 in=92")
	s.do("run 5m")
	same(t, "while it lasts", s.c.alerts.open[0].Text, "No consumers for 4 min 59 s, and depth grows by 92/s")
	s.do("channel t/c consumers=1 grow=-500")
	s.do("node qd-1 health=disk_full")
	s.do("run 10s")
	s.do("node qd-1 health=OK")
	s.do("run 1m")
	var past []string
	for _, l := range s.c.alerts.past {
		past = append(past, l.Text)
	}
	same(t, "what is over", past, "[Was not healthy for 40 s: disk full Had no consumers for 5 min; up to 27,600 messages waited]")
}

// TestNodeThatWasTakenAwayIsNotCritical: one that held nothing and that no
// directory lists.
func TestNodeThatWasTakenAwayIsNotCritical(t *testing.T) {
	for name, test := range map[string]struct {
		depth string
		want  string
	}{
		"drained": {"0", "warn Gone: no lookupd lists it any more, and it held no messages. No answer since 10s"},
		"full":    {"7", "crit No answer since 10s: connection refused; it held 7 messages"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.do("node qd-1")
			s.do("channel t/c consumers=1 depth=" + test.depth)
			s.do("run 10s")
			s.do("node qd-1 listed=no silent=yes")
			s.do("run 20s")
			l := s.c.alerts.open[0]
			same(t, "line", string(l.Level)+" "+s.localised(l.Text), test.want)
			same(t, "node", s.c.NodesView().Nodes[0].State, l.Level)
		})
	}
}

// TestNodeThatLeftWhenItWasDrainedIsNoAlarm: it was told to, and nothing is lost.
func TestNodeThatLeftWhenItWasDrainedIsNoAlarm(t *testing.T) {
	for name, test := range map[string]struct {
		depth, after, want string
		state              Level
	}{
		"empty":            {"0", "listed=no silent=yes", "", levelOK},
		"left with some":   {"7", "listed=no silent=yes", "warn Left when it was drained, with 7 messages that no consumer took. No answer since 10s", LevelWarn},
		"died meanwhile":   {"7", "silent=yes", "crit No answer since 10s: connection refused; it held 7 messages", LevelCrit},
		"undrained before": {"0", "draining=no silent=yes", "crit No answer since 10s: connection refused", LevelCrit},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.do("node qd-1")
			s.do("channel t/c consumers=1 depth=" + test.depth)
			s.do("run 5s")
			s.do("node qd-1 draining=yes")
			s.do("run 5s")
			same(t, "lines while it is drained", len(s.c.alerts.open), 0)
			same(t, "the node says so", s.c.NodesView().Nodes[0].Draining, true)
			if strings.Contains(test.after, "draining=no") {
				s.do("node qd-1 draining=no")
				s.do("run 1s")
			}
			s.do("node qd-1 " + test.after)
			s.do("run 20s")
			got := ""
			for _, l := range s.c.alerts.open {
				got = string(l.Level) + " " + s.localised(l.Text)
			}
			same(t, "line", strings.ReplaceAll(got, "11s", "10s"), test.want)
			same(t, "node", s.c.NodesView().Nodes[0].State, test.state)
		})
	}
}

func TestUptimeOfASilentNodeStops(t *testing.T) {
	c, now := clusterOf("a")
	c.hear("a", statsAt(now.Unix()-100, 1, 0), now)
	c.Update(now, time.Second)
	for s := range 60 {
		c.nodes["a:4151"].miss(now.Add(time.Duration(s)*time.Second), "refused")
		c.Update(now.Add(time.Duration(s)*time.Second), time.Second)
	}
	same(t, "uptime in ms", *c.NodesView().Nodes[0].UpMS, 100_000)
}
