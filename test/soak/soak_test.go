package soak

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var duration = flag.Duration("for", 0, "how long to go on; a few short rounds by default")

// shape is how much goes on in a round.
type shape struct {
	local, replicated int           // topics
	channels          int           // of each
	consumers         int           // of each channel
	batches           int           // published to each topic
	pause             time.Duration // between them
}

var (
	short = shape{local: 2, replicated: 1, channels: 2, consumers: 1, batches: 15, pause: 20 * time.Millisecond}
	long  = shape{local: 6, replicated: 3, channels: 3, consumers: 2, batches: 60, pause: 50 * time.Millisecond}
)

// shortRounds are as many as there are kinds of trouble.
const shortRounds = len(troubles)

func TestNothingIsLostAndNothingGrows(t *testing.T) {
	s := short
	if *duration > 0 {
		s = long
	}
	began := time.Now()
	c := startCluster(t)
	c.round(s, -1, quiet) // everything has been used once
	c.awaitIdle()
	for n := 0; n < shortRounds || time.Since(began) < *duration; n++ {
		trouble := troubles[n%len(troubles)]
		delivered := c.round(s, n, trouble)
		c.awaitIdle()
		t.Logf("%8s round %d (%s): %d deliveries; %s", time.Since(began).Round(time.Second), n, trouble.name, delivered, c.told())
	}
	c.wantNoGrowth()
	for _, n := range c.nodes {
		n.Stop(t)
	}
	t.Logf("%s: %d messages OK'd, %d deliveries, nothing lost", time.Since(began).Round(time.Second), c.accepted.Load(), c.delivered.Load())
}

// faults is what befalls one node in a round.
type faults struct {
	name string
	node int
	make func(*testing.T, *node) // until the process is gone; nil: nothing
}

var quiet = faults{name: "quiet"}

// troubles are of all kinds. The first node is spared: what grows over the whole
// time grows there.
var troubles = [...]faults{
	{"drained by SIGTERM", 1, func(t *testing.T, n *node) { n.Stop(t) }},
	{"stopped", 2, func(t *testing.T, n *node) { n.Stop(t) }},
	{"drained over HTTP", 1, func(t *testing.T, n *node) {
		n.must("POST", "/drain", "")
		if err := n.Err(); err != nil {
			t.Fatalf("a drained node ended with %v", err)
		}
	}},
	{"killed", 2, func(_ *testing.T, n *node) { n.Kill() }},
}

// told is a line of figures.
func (c *cluster) told() (line string) {
	for i, n := range c.nodes {
		line += fmt.Sprintf("node %d %s; ", i, n.last)
	}
	return line[:len(line)-2]
}
