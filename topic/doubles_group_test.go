package topic

import (
	"fmt"
	"testing"
	"time"

	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/dedup"
	"qmq/message"
)

// TestIDsBelowTheKnownEndAreAllThere: a file of ids that is written while a group is stored
// says of no id that it is in it which is not.
func TestIDsBelowTheKnownEndAreAllThere(t *testing.T) {
	const end, ids = 100, 1000
	now := time.Now().UnixNano()
	for range 20 {
		d := &doubles{
			ids: newIDFiles(nil, "", 1), table: dedup.New(), claims: make(map[message.DedupID]*claim),
			bounds: dedup.Bounds{Window: time.Hour, Max: 2 * ids}, clock: clock.New(),
		}
		var group []*claim
		for n := range ids {
			id := message.MakeDedupID(fmt.Append(nil, n))
			c := &claim{d: d, done: make(chan struct{}), ids: []diskqueue.Identified{{Dedup: message.Dedup{ID: id, At: now}}}}
			d.claims[id] = c
			group = append(group, c)
		}
		go storeClaims(group, end)
		for known := uint64(0); known < end; {
			var span dedup.Span
			if span, known, _ = d.unkept(0); known == end && span.Len() != ids {
				t.Fatalf("%d ids of %d are there below the known end", span.Len(), ids)
			}
		}
	}
}
