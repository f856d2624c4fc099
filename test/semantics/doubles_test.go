package semantics

import (
	"fmt"
	"testing"
	"time"
)

// TestStepsOfTheWallClockKeepTheWindowOfDoubles: an id counts for as long as is set, whatever
// the clock says meanwhile, and after a restart.
func TestStepsOfTheWallClockKeepTheWindowOfDoubles(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			p := startDaemon(t, t.TempDir(), 1000)
			defer p.terminate()
			publish := func(topic, id string) {
				t.Helper()
				if r := p.call("POST", "/pub?topic="+topic+"&dedup_id="+id, id); r.status != 200 {
					t.Fatal(r)
				}
			}
			for _, topic := range []string{"long", "short"} {
				p.call("POST", "/topic/create?topic="+topic, "")
			}
			p.call("PUT", "/topic/config?topic=long", `{"dedup_window": "10m"}`)
			p.call("PUT", "/topic/config?topic=short", `{"dedup_window": "2s"}`)
			publish("long", "a")
			publish("short", "a")
			p.step(step)
			publish("long", "a")
			publish("long", "b")
			publish("short", "b")
			time.Sleep(2100 * time.Millisecond) // by the clock that runs
			publish("long", "a")
			publish("long", "b")
			publish("short", "a")
			publish("short", "b")
			for _, topic := range p.stats().Topics {
				want := map[string]int{"long": 2, "short": 4}[topic.Name]
				if int(topic.MessageCount) != want {
					t.Errorf("%d messages of %s are stored, want %d", topic.MessageCount, topic.Name, want)
				}
			}
		})
	}
}
