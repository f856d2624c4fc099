package semantics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
)

// many is a large number, less of it where everything is slow.
func many(n int) int {
	if underRace {
		return n / 10
	}
	return n
}

// TestMemoryDoesNotGrowWithWhatNobodyTakes: a channel without consumers, and
// one whose consumer does not read what it is sent.
func TestMemoryDoesNotGrowWithWhatNobodyTakes(t *testing.T) {
	const hot, allowed = 4 << 20, 24 << 20
	n := startOnDisk(t, func(o *options) { o.broker.HotBytes = hot })
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "absent")
	deaf := n.consume("t", "deaf", 2500)
	total := int64(many(160 << 20))
	base := heap()
	batch := wire.MPub("t", bulk(1<<20)...)
	p := n.connect()
	for sent := int64(0); sent < total; sent += 1 << 20 {
		p.Send(batch)
		p.Expect("OK")
	}
	process.Eventually(t, "a delivery that got stuck", func() bool { return n.channel("t", "deaf").InFlightCount > 0 })
	if grown := grownSince(t, base); grown > allowed {
		t.Errorf("memory grew by %d MiB while %d MiB were published", grown>>20, total>>20)
	}
	if s := n.channel("t", "absent"); s.Depth < int(total>>20) || s.BackendDepth < s.Depth-2*hot/(100<<10) {
		t.Errorf("depth %d, of which %d are not in memory", s.Depth, s.BackendDepth)
	}
	deaf.Close()
}

// TestAMillionMessagesInFlight on one connection take little memory each, and
// all of it comes back.
func TestAMillionMessagesInFlight(t *testing.T) {
	const batch, fixed = 10_000, 40 << 20
	messages := many(1_000_000)
	n := startOnDisk(t, func(o *options) {
		o.server.MaxRdyCount = int64(messages)
		o.server.MsgTimeout = 10 * time.Minute
		o.broker.SegmentBytes = 100 << 20
	})
	ids := make([]byte, 0, messages*len("FIN 0123456789abcdef\n"))
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	p := n.connect()
	request := wire.MPub("t", numbered("", batch)...)
	for range messages / batch {
		p.Send(request)
		p.Expect("OK")
	}
	base := heap()
	k := n.consume("t", "ch", messages)
	for range messages {
		ids = appendFin(k, ids)
	}
	k.ExpectOpen()
	n.wantCounts("t", "ch", counts{inFlight: messages})
	if grown := grownSince(t, base); grown > int64(messages)*64+fixed {
		t.Errorf("memory grew by %d MiB for %d messages in flight", grown>>20, messages)
	}
	for lines := range slices.Chunk(ids, 64<<10) { // never mind where lines end
		k.Send(string(lines))
	}
	n.wantCounts("t", "ch", counts{})
	k.ExpectOpen() // and no FIN failed
	if grown := grownSince(t, base); grown > fixed {
		t.Errorf("memory grew by %d MiB for nothing", grown>>20)
	}
}

// appendFin reads a message and appends the line that finishes it.
func appendFin(c *wire.Conn, lines []byte) []byte {
	c.T.Helper()
	kind, data, err := c.Any(time.Now().Add(testTimeout))
	if err != nil || kind != wire.Delivery {
		c.T.Fatalf("frame %d %.30q, %v", kind, data, err)
	}
	head, _, err := wire.ParseHead(data)
	if err != nil {
		c.T.Fatal(err)
	}
	return fmt.Appendf(lines, "FIN %s\n", head.ID[:])
}

// TestDeferredMessagesTakeLittleMemory: no body of them is kept.
func TestDeferredMessagesTakeLittleMemory(t *testing.T) {
	const body, fixed, each = 1000, 32 << 20, 100
	messages := many(100_000)
	n := startOnDisk(t, func(o *options) { o.broker.HotBytes = 1 << 20 })
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	p := n.connect()
	base := heap()
	chunk := strings.Repeat(wire.DPub("t", 3_600_000, strings.Repeat("x", body)), 100)
	for range messages / 100 {
		p.Send(chunk)
		for range 100 {
			p.Expect("OK")
		}
	}
	n.wantCounts("t", "ch", counts{deferred: messages})
	if grown := grownSince(t, base); grown > int64(messages)*each+fixed {
		t.Errorf("memory grew by %d MiB for %d deferred messages", grown>>20, messages)
	}
	began := time.Now()
	n.restart()
	if got := n.channel("t", "ch").counts(); got != (counts{deferred: messages}) {
		t.Errorf("after a restart that took %v: %+v", time.Since(began), got)
	}
}

// grownSince is by how much memory grew.
func grownSince(t *testing.T, base int64) int64 {
	t.Helper()
	grown := heap() - base
	t.Logf("memory grew by %.1f MiB", float64(grown)/(1<<20))
	return grown
}
