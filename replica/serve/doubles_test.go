package serve

import (
	"fmt"
	"sync"
	"testing"

	"qmq/diskqueue"
	"qmq/message"
)

// publishedOnce publishes bodies that are their own ids, all in one batch.
func (m *member) publishedOnce(t testing.TB, bodies ...string) {
	t.Helper()
	b := new(diskqueue.Batch)
	stamp := m.node.Stamp("t").Begin(b)
	for _, body := range bodies {
		x := message.Meta{Timestamp: m.clock.Wall()}
		stamp.Apply(&x, []byte(body))
		b.Add(&x, []byte(body))
	}
	must(t, m.node.Publish("t", b))
}

// TestDoublesAreStoredOnceThroughAnyNode, by publishers at all nodes that send the same at
// a time, while the leader changes and some of what it proposed is lost.
func TestDoublesAreStoredOnceThroughAnyNode(t *testing.T) {
	for keep := range 3 {
		withSet(t, 3, func(t *testing.T, s *set) {
			s.lead(s.members[0], 0)
			s.members[0].published(t, "first")
			s.members[1].configure(t, `{"dedup_window": "1h", "dedup_from": "body"}`)
			s.members[0].publishedOnce(t, "a", "b", "a")
			var all sync.WaitGroup
			for i := range 6 {
				all.Go(func() {
					for n := range 20 {
						s.members[i%3].publishedOnce(t, fmt.Sprint(n), "b", fmt.Sprint(n+1))
					}
				})
			}
			s.lead(s.members[1], keep)
			s.lead(s.members[2], keep)
			all.Wait()
			s.members[0].publishedOnce(t, "a", "7")
			seen := make(map[string]int)
			for _, body := range s.members[0].stored(t, "t") {
				if seen[body]++; seen[body] > 1 {
					t.Errorf("%q is there %d times", body, seen[body])
				}
			}
			if len(seen) != 24 { // first, a, b, and 0 to 20
				t.Errorf("%d messages are there", len(seen))
			}
			s.wantStored(t, s.members[0].stored(t, "t")...)
			top, err := s.members[2].node.Topic("t", false)
			must(t, err)
			if d, ok := top.DedupStats(); !ok || d.IDs != 23 || d.Found == 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}
