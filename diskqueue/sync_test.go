package diskqueue

import (
	"strings"
	"testing"

	"qmq/internal/vfs/crashfs"
)

// TestSegmentGetsItsIndexAfterTheAppendThatIsAtIt: one that is ended while it is
// appended to, and synced meanwhile, must not be told to end before that record.
func TestSegmentGetsItsIndexAfterTheAppendThatIsAtIt(t *testing.T) {
	disk := crashfs.New(1)
	n := newNode(disk.Mount())
	l, _ := n.open(t)
	first := mustAppend(t, l, single([]byte("one"))).First
	done := false
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpWrite && strings.HasSuffix(name, segmentSuffix) && !done {
			done = true
			l.EndSegment()
			l.Sync()
		}
		return nil
	})
	second := mustAppend(t, l, single([]byte("two"))).First
	disk.Fail(nil)
	mustClose(t, l)

	again, _ := n.open(t)
	defer mustClose(t, again)
	got := contents(t, again)
	if got[first] != "one" || got[second] != "two" {
		t.Errorf("after the next start the log holds %v: want both messages", got)
	}
}
