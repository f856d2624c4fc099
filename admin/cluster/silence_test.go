package cluster

import (
	"fmt"
	"testing"
	"time"

	"qmq/admin/words"
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
		c.Update(at, interval)
	}
	both(now, IdleInterval)
	both(now.Add(10*time.Second), IdleInterval)
	same(t, "asked rarely, both are in the sums", c.sums.depth, 12)
	both(now.Add(11*time.Second), LiveInterval)
	for s := 12; s < 40; s++ {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, 10, 5), at)
		c.nodes["b:4151"].miss(at, "refused")
		c.Update(at, []time.Duration{LiveInterval, IdleInterval}[s%2])
		if want := map[bool]int64{true: 12, false: 5}[s <= 16]; c.sums.depth != want {
			t.Errorf("after %d s the depth is %d, want %d", s, c.sums.depth, want)
		}
	}
	marks := c.marksOf(View{Kind: "cluster"}, now.Add(-time.Hour))
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
		c.Update(at, LiveInterval)
		if point := c.nodeView(n).Point["depth"].(Figure); point.known() != (s >= 1 && s < 10 || s >= 20) {
			t.Errorf("at second %d the newest depth is %v", s, point)
		}
	}
	_, rows := n.history.read(clusterRows, Spans["5m"], now.Add(29*time.Second).Unix())
	for _, name := range []string{"depth", "requeued"} { // the latter is 0 all the time
		for s, v := range rows[name][fineSlots-30:] {
			if v.known() != (s >= 1 && s < 10 || s >= 20) {
				t.Errorf("%s at second %d is %v", name, s, v)
			}
		}
	}
}

func TestNodesThatShareAHostHaveNamesOfTheirOwn(t *testing.T) {
	c := New(1<<20, nil)
	for id, host := range map[string]string{"10.0.0.1:4151": "vm.eu", "10.0.0.1:4251": "vm.eu", "10.0.0.2:4151": "qd-1.eu", "10.0.0.3:4151": "pod", "10.0.0.4:4151": "pod", "10.0.0.5:4151": ""} {
		n := newNode(id, id)
		n.host = host
		c.nodes[id] = n
	}
	c.sortNodes()
	var names []string
	for _, n := range c.order {
		names = append(names, words.ShortName(n.name))
	}
	same(t, "names", names, "[10.0.0.3:4151 10.0.0.4:4151 10.0.0.5:4151 qd-1 vm.eu:4151 vm.eu:4251]")
}

func TestLineAboutSilenceThatIsOverSaysFromWhenToWhen(t *testing.T) {
	c, now := clusterOf("a")
	n := c.nodes["a:4151"]
	for s := range 20 {
		at := now.Add(time.Duration(s) * time.Second)
		if s > 3 && s < 10 {
			n.miss(at, "refused")
		} else {
			c.hear("a", statsAt(1, 1, 0), at)
		}
		c.Update(at, LiveInterval)
	}
	same(t, "lines that are over", len(c.alerts.past), 1)
	same(t, "text", c.alerts.past[0].Text, fmt.Sprintf("Gave no answer from {t:%d} on, for 9 s", now.Add(3*time.Second).UnixMilli()))
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
	c.Update(now, time.Second)
	v := c.Overview()
	same(t, "states", []any{v.Nodes[0].State, v.Nodes[0].Damaged, v.Nodes[1].State, v.Nodes[1].Damaged}, "[ok true crit false]")
	same(t, "run normally", v.Normal, "{1 1 1}")
	for _, l := range v.Attention {
		same(t, "rule of "+l.Node, l.Rule, map[string]string{"a:4151": "damage", "b:4151": "unhealthy"}[l.Node])
	}
}
