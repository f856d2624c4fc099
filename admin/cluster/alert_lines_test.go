package cluster

import (
	"testing"
	"time"

	"qmq/lookup"
)

func TestQuestionThatIsLateAndFailsIsMissedOnce(t *testing.T) {
	l := &lookupd{address: "l:1"}
	now := time.Now()
	l.miss(now, "no answer in time")
	l.miss(now.Add(time.Millisecond), "connection reset")
	same(t, "missed", l.missed, 1)
	l.miss(now.Add(LookupEvery), "refused")
	same(t, "missed", l.missed, 2)
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
	same(t, "line", s.c.alerts.known["no_consumers/t/c"] != nil, true)
	s.do("node qd-1 silent=yes")
	s.do("run 2m")
	same(t, "line while nobody knows", s.c.alerts.known["no_consumers/t/c"] != nil, true)
	s.do("channel t/c consumers=1")
	s.do("node qd-1 silent=no")
	s.do("run 5s")
	same(t, "line with a consumer", s.c.alerts.known["no_consumers/t/c"] != nil, false)
}

func TestConsumersThatAreAwayForAMomentAreNoLine(t *testing.T) {
	s := newScene(t)
	s.do("node qd-1")
	s.do("channel t/c consumers=3 grow=5 in=5")
	s.do("run 5m")
	s.do("channel t/c consumers=0")
	s.do("run 1m")
	same(t, "lines", len(s.c.alerts.open), 0)
	s.do("run 2m")
	same(t, "lines", len(s.c.alerts.open), 1)
}

func TestDirectoryThatIsLateDoesNotEndTheLineOfANodeThatItLacks(t *testing.T) {
	s := newScene(t)
	s.do("node qd-1 listed=yes")
	s.do("run 1s")
	s.do("node qd-1 listed=no")
	s.do("run 5s")
	same(t, "lines", len(s.c.alerts.open), 1)
	s.c.lookupds[0].miss(s.now, "no answer in time")
	s.c.Update(s.now, time.Second)
	same(t, "lines", len(s.c.alerts.open), 1)
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

func TestDirectoryThatWasTakenOffTheListIsNotHeard(t *testing.T) {
	now := time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	c := New(1<<20, nil)
	c.SetLookupds([]string{"l:1", "l:2", "l:1"})
	same(t, "directories", len(c.lookupds), 2)
	asked, _ := c.Due(now)
	c.SetLookupds([]string{"l:2"})
	nodes := []lookup.ClusterNode{{Identity: lookup.Identity{Hostname: "a", BroadcastAddress: "a", HTTPPort: 4151}}}
	if news, learn := c.LookupdAnswered(asked[0], LookupdAnswer{Nodes: nodes}, now); news || learn {
		t.Error("it is asked more")
	}
	same(t, "nodes", len(c.nodes), 0)
}

func TestNodeThatNoDirectoryKnowsAndThatIsSilentIsForgotten(t *testing.T) {
	c := New(1<<20, nil)
	c.SetLookupds([]string{"l:1"})
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
	same(t, "lines about it", len(c.alerts.open), 0)
}
