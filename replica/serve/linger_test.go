package serve

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMuchThatComesAtOnceSharesAnEntry: publishers of much, who publish again a moment
// after they are answered, all share each entry.
func TestMuchThatComesAtOnceSharesAnEntry(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		const publishers, each = 8, 30
		s.lead(s.members[0], 0)
		m := s.members[0]
		m.published(t, "first")
		before := s.taken()
		body := strings.Repeat("x", 64<<10)
		var all sync.WaitGroup
		for range publishers {
			all.Go(func() {
				for range each {
					if err := m.node.Publish("t", batchOf(body)); err != nil {
						t.Error(err)
					}
					time.Sleep(s.latency / 4)
				}
			})
		}
		all.Wait()
		if n := s.taken() - before; n > each*3/2 { // each on its own, in two halves, or as one
			t.Errorf("%d publishes took %d entries", publishers*each, n)
		}
	})
}

// TestWhoDoesNotComeIsNotAwaitedForLong, and ever more rarely.
func TestWhoDoesNotComeIsNotAwaitedForLong(t *testing.T) {
	var l linger
	waits := 0
	for range 10 * lingerRarely {
		l.proposed = 0
		d := l.wait(lingerAt, 0, int64(time.Second))
		if d > lingerMost {
			t.Fatalf("it waits for %s", d)
		}
		if d > 0 {
			waits++
			l.inVain()
		}
	}
	if waits < 10 || waits > 20 {
		t.Errorf("it has waited %d times", waits)
	}
	for name, d := range map[string]time.Duration{
		"little was published":   new(linger).wait(lingerAt-1, 0, int64(time.Second)),
		"all that fits is there": new(linger).wait(lingerAt, maxGroup, int64(time.Second)),
		"it took no time":        new(linger).wait(lingerAt, 0, 0),
	} {
		if d != 0 {
			t.Errorf("%s: it waits for %s", name, d)
		}
	}
}
