package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemberThatStartsSaysOnceForWhomItWaits, where more than half of the set is not there.
func TestMemberThatStartsSaysOnceForWhomItWaits(t *testing.T) {
	for name, c := range map[string]struct {
		led  time.Duration // since when a leader is known; 0: never
		want int
	}{"nobody leads": {0, 1}, "somebody soon leads": {missedAfter / 2, 0}, "somebody leads later": {2 * missedAfter, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := watchOf(t)
				var log bytes.Buffer
				w.r.s.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				for i, m := range w.r.s.registry.Load().Members {
					m.Address = string(rune('a'+i)) + ":1"
				}
				for now := w.r.now(); now < time.Minute; now = w.r.now() {
					if c.led != 0 && now >= c.led {
						w.leader(0, 2)
					}
					w.tellMissing(now)
					time.Sleep(watchEvery)
				}
				if got := strings.Count(log.String(), `"waiting for a majority of the set" for="b:1, c:1"`); got != c.want || strings.Count(log.String(), "waiting") != got {
					t.Errorf("it said %q", log.String())
				}
			})
		})
	}
}

// A member waits for the others as long as those that are there are half of the set at most.
func TestMemberWaitsForAMajority(t *testing.T) {
	there, gone, joins := MemberStatus{Address: "a", Connected: true}, MemberStatus{Address: "b", Failure: "connection refused"}, MemberStatus{Address: "c", Joining: true}
	for _, c := range []struct {
		members []MemberStatus
		want    string
	}{
		{[]MemberStatus{there, there, gone}, ""},
		{[]MemberStatus{there, gone, gone}, "b (connection refused), b (connection refused)"},
		{[]MemberStatus{there, there, gone, gone}, "b (connection refused), b (connection refused)"},
		{[]MemberStatus{there, there, there, gone, gone}, ""},
		{[]MemberStatus{there, there, gone, joins, joins}, ""},
	} {
		if got := missing(c.members); got != c.want {
			t.Errorf("of %d members it waits for %q", len(c.members), got)
		}
	}
}
