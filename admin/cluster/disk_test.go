package cluster

import (
	"strings"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// filling is a node whose disk of 100 GiB is so full after each second.
func filling(seconds int, used func(second int) int64) (lines []string, node NodeRow) {
	c := New(1<<20, []string{"a:4151"})
	n := c.order[0]
	now := time.Unix(1_700_000_000, 0)
	shown := map[string]bool{}
	for s := range seconds {
		now = now.Add(time.Second)
		u := used(s)
		free := int64(100<<30) - u
		n.answered()
		n.take(&c.budget, &nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: 1, HeapInUse: -1, DiskFree: &free, DiskUsed: &u}, now, c.wasEmptied)
		c.Update(now, time.Second)
		for _, l := range c.alerts.open {
			if !shown[l.ID] {
				lines = append(lines, l.Rule+": "+l.Text)
			}
			shown[l.ID] = true
		}
	}
	return lines, c.nodeRow(n, "")
}

func TestDiskNeedsAttentionBeforeItIsFull(t *testing.T) {
	const gib = int64(1 << 30)
	for _, test := range []struct {
		name string
		used func(second int) int64
		want string
	}{
		{"half full and still", func(int) int64 { return 50 * gib }, ""},
		{"91% full", func(int) int64 { return 91 * gib }, "disk_low: 9% of the disk is free: 9 GiB"},
		{"20 MiB/s with 50 GiB left", func(s int) int64 { return 50*gib + int64(s)*20<<20 }, "disk_fills: The disk is full in 37 min"},
		{"4 MiB/s with 50 GiB left", func(s int) int64 { return 50*gib + int64(s)*4<<20 }, ""},
		{"one large file", func(s int) int64 { return 50*gib + map[bool]int64{true: 20 * gib}[s > 100] }, ""},
		{"a build of three minutes", func(s int) int64 { return 50*gib + int64(min(max(s-300, 0), 150))*20<<20 }, ""},
		{"very fast", func(s int) int64 { return 50*gib + int64(max(s-300, 0))*200<<20 }, "disk_fills: The disk is full in"},
		{"up and down", func(s int) int64 { return 50*gib + int64(s%60)*100<<20 }, ""},
	} {
		lines, node := filling(460, test.used)
		got := strings.Join(lines, "; ")
		if test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if *node.DiskFree+*node.DiskUsed != 100*gib {
			t.Errorf("%s: the node has %d and %d", test.name, *node.DiskFree, *node.DiskUsed)
		}
	}
}
