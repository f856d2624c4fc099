package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/test/process"
)

// settingsCase changes settings again and again while others publish, until the daemon
// is killed.
type settingsCase struct {
	t   *testing.T
	ctx context.Context
	d   *daemon
	// tried is the number that was asked for last of the topic and of the channel,
	// answered the last one whose answer came.
	tried, answered [2]int
}

// settingsLimit is how many messages the topic keeps.
const settingsLimit = 500

// routes are those of the settings, and of each the one that is changed.
var settingsRoutes = [2]struct{ path, key string }{
	{"/topic/config?topic=t", "max_channels"}, {"/channel/config?topic=t&channel=c", "max_in_flight"},
}

// TestSettingsOutliveKills: what was set is there after each kill, what was being set is
// there or not, and the topic keeps to its limit.
func TestSettingsOutliveKills(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	r := &settingsCase{t: t, ctx: ctx, d: newDaemon(t, goodDaemon(t), daemonFlags...)}
	r.must(r.d.start(ctx))
	r.must(r.d.operate(ctx, "/topic/create", "t", "", false))
	r.must(r.d.operate(ctx, "/channel/create", "t", "c", false))
	r.must(r.ask("PUT", "/topic/config?topic=t", fmt.Sprintf(`{"max_messages": %d, "overflow": "drop-oldest", "max_age": "1h"}`, settingsLimit), nil))
	for range 6 {
		r.killWhileSetting()
		r.must(r.d.start(ctx))
		r.check()
	}
}

func (r *settingsCase) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.d.logTail(30))
	}
}

// ask asks the daemon that runs now.
func (r *settingsCase) ask(method, path, body string, into any) error {
	run, err := r.d.awaitUp(r.ctx)
	if err != nil {
		return err
	}
	answer, err := process.Ask(r.ctx, r.d.client, method, run.http, path, body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// killWhileSetting changes both settings and publishes until some changes are answered,
// and kills the daemon then.
func (r *settingsCase) killWhileSetting() {
	run, err := r.d.awaitUp(r.ctx)
	r.must(err)
	var working sync.WaitGroup
	enough := make(chan struct{}, 3)
	for i, route := range settingsRoutes {
		working.Go(func() {
			for n := r.answered[i] + 1; ; n++ {
				r.tried[i] = n
				if _, err := process.Ask(r.ctx, r.d.client, "PUT", run.http, route.path, fmt.Sprintf(`{%q: %d}`, route.key, n)); err != nil {
					return
				}
				if r.answered[i] = n; n%20 == 0 {
					select {
					case enough <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	working.Go(func() {
		for lines := strings.Repeat("message\n", 50); ; {
			if _, err := process.Ask(r.ctx, r.d.client, "POST", run.http, "/mpub?topic=t", lines); err != nil {
				return
			}
		}
	})
	select {
	case <-enough:
	case <-r.ctx.Done():
	}
	r.d.kill()
	working.Wait()
	r.must(r.ctx.Err())
}

// check holds what is set after a start to what was answered before.
func (r *settingsCase) check() {
	for i, route := range settingsRoutes {
		var is struct {
			Set map[string]any `json:"set"`
		}
		r.must(r.ask("GET", route.path, "", &is))
		n, _ := is.Set[route.key].(float64)
		if int(n) != r.answered[i] && int(n) != r.tried[i] {
			r.t.Errorf("%s: set is %v, answered was %d, asked for %d", route.path, is.Set, r.answered[i], r.tried[i])
		}
		if i == 0 && is.Set["max_age"] != "1h" {
			r.t.Errorf("%s: set is %v", route.path, is.Set)
		}
		r.answered[i] = int(n)
	}
	r.must(r.ask("POST", "/pub?topic=t", "message", nil))
	// Who counts what is open may have done so a moment ago: the oldest go a little later then.
	process.Eventually(r.t, "the topic keeps its limit", func() bool {
		var stats struct {
			Topics []struct{ Channels []channelStats }
		}
		r.must(r.ask("GET", "/stats?format=json&topic=t", "", &stats))
		depth := stats.Topics[0].Channels[0].Depth
		if depth == 0 {
			r.t.Fatal("no message waits")
		}
		return depth <= settingsLimit
	})
}
