package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qmq/admin/cluster"
)

// TestLinesOfAttentionReachAWebhook: when they start and when they end, with a link.
func TestLinesOfAttentionReachAWebhook(t *testing.T) {
	got := make(chan object, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var o object
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			t.Error(err)
		}
		got <- o
	}))
	defer hook.Close()
	h := startAlertHook(&Options{AlertWebhook: hook.URL, PageURL: "https://q.example/ops", Cluster: "shop-eu", Logger: slog.New(slog.DiscardHandler)})
	defer h.stop()

	c, now := cluster.New(1<<20, []string{"a:4151"}), time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	second := func(answers bool) {
		_, asked := c.Due(now)
		if answers {
			c.NodeAnswered(asked[0], cluster.NodeAnswer{Stats: nodeStats(3)}, now)
		} else {
			c.NodeMissed(asked[0], "<!channel> & refused", now)
		}
		c.Update(now, time.Second)
		h.tell(c.TakeAlerts())
		now = now.Add(time.Second)
	}
	for s := range 20 {
		second(s < 5 || s >= 10)
	}
	start, end := <-got, <-got
	same(t, "text", start["text"], "[critical] shop-eu: a:4151: No answer since 2026-03-12T14:00:04Z: &lt;!channel&gt; &amp; refused; it held 3 messages https://q.example/ops/nodes/a:4151")
	same(t, "event", []any{start["event"], start["id"], start["level"], start["since"]}, "[start silent/a:4151 crit 2026-03-12T14:00:04Z]")
	same(t, "text of the end", end["text"], "[over] shop-eu: a:4151: Gave no answer from 2026-03-12T14:00:04Z on, for 8 s https://q.example/ops/nodes/a:4151")
	same(t, "event of the end", []any{end["event"], end["id"], end["over"]}, "[end silent/a:4151 2026-03-12T14:00:12Z]")
	h.tell([]cluster.Alert{{Topic: "..", Channel: "c#ephemeral", Text: "t", Level: cluster.LevelCrit}})
	same(t, "link", (<-got)["link"], "https://q.example/ops/topics/~../c%23ephemeral")
}

// TestWebhookThatHangsHoldsNobodyUp: what it does not take is dropped, and said.
func TestWebhookThatHangsHoldsNobodyUp(t *testing.T) {
	reached := make(chan struct{}, 1)
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case reached <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hook.Close()
	defer close(release)
	var log lockedBuilder
	h := startAlertHook(&Options{AlertWebhook: hook.URL, PageURL: "http://q/", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	h.tell([]cluster.Alert{{Topic: "t"}})
	<-reached
	h.tell(make([]cluster.Alert, maxPosts+3))
	h.stop()
	if n := strings.Count(log.String(), "too slow"); n != 3 {
		t.Errorf("%d alerts were dropped with a word: %s", n, log.String())
	}
}
