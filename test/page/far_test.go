package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"qmq/admin/past"
)

// peekingSince shows messages from a moment on.
func peekingSince(b *tab, n *daemon) {
	n.post(b.t, "/pub?topic=since&key=customer-7&priority=3", "one")
	n.post(b.t, "/pub?topic=since", "two")
	b.open("topics", "topics")
	b.shows("#topics-table", "since")
	b.open("topics/since", "topic")
	b.click("[data-action=peek-again]")
	b.until(`document.querySelectorAll('#messages .message').length === 2`)
	b.write("#peek-from", time.Now().Add(time.Hour).Format("2006-01-02 15:04"))
	b.click("#peek-go")
	b.shows("#messages", "No messages in the log.")
	b.write("#peek-from", time.Now().Add(-time.Hour).Format("2006-01-02 15:04"))
	b.click("#peek-go")
	b.until(`document.querySelectorAll('#messages .message').length === 2`)
	b.shows("#messages .message:first-child", "one")
	b.shows("#message-headers", "customer-7")
	b.shows("#message-headers", "priority")
	b.write("#peek-from", "yesterday")
	b.click("#peek-go")
	b.shows("#messages", "Write a number of a message, a time such as 14:05")
}

// hugeBody looks at a body of 5 MB: its beginning is shown, all of it can be had.
func hugeBody(b *tab, n *daemon) {
	const size = 5_000_000
	n.post(b.t, "/pub?topic=huge", strings.Repeat("0123456789", size/10))
	b.open("topics", "topics")
	b.shows("#topics-table", "huge")
	b.open("topics/huge", "topic")
	b.click("[data-action=peek-again]")
	b.shows(".reading", "Cut at 64.0 KiB of 5,000,000 bytes")
	if shown := value[int](b, `document.querySelector('#body').innerText.length`); shown != 64<<10 {
		b.t.Errorf("%d characters are shown", shown)
	}
	if got := value[int](b, `fetch(document.querySelector('#messages [data-action=download]').href).then(a => a.arrayBuffer()).then(a => a.byteLength)`); got != size {
		b.t.Errorf("%d bytes are downloaded", got)
	}
}

// diskLow looks at a node whose disk is nearly full.
func diskLow(t *testing.T, r *rig) {
	address := startFake(t, "2.0.0", map[string]any{"memory": map[string]int{"heap_in_use_bytes": 1 << 20}, "disk_free_bytes": 3 << 30, "disk_used_bytes": 97 << 30,
		"open_files": 900, "max_open_files": 1000}, "events")
	b := newTab(t, r.startAdmin("--nsqd-http-address="+address).base())
	b.open("", "overview")
	b.shows("#attention", "3% of the disk is free: 3 GiB")
	b.click("#attention a")
	b.view("node")
	b.shows("[data-figure=disk] .value", "3.0 GiB")
	b.shows("[data-figure=disk] .means.warn", "3% of 100 GiB")
	b.shows("[data-figure=files] .value", "900")
	b.shows("[data-figure=files] .means.warn", "of 1,000")
}

// longAgo looks at history that an earlier qadmin kept.
func longAgo(t *testing.T, r *rig) {
	dir := t.TempDir()
	now := time.Now()
	k, err := past.Open(dir, 1<<30, now)
	if err != nil {
		t.Fatal(err)
	}
	const week = 7 * 24 * 60
	for minute := now.Unix()/60 - week; minute < now.Unix()/60; minute++ {
		if err := k.Write(minute, []float32{50, 40, 1000, 1, 1, 1, 1}, "cluster"); err != nil {
			t.Fatal(err)
		}
	}
	b := newTab(t, r.startAdmin("--lookupd-http-address="+r.lookup.HTTP, "--history-dir="+dir).base())
	b.open("", "overview")
	for span, hours := range map[string]int{"6h": 6, "24h": 24, "7d": 7 * 24} {
		b.click("[data-choice=span-" + span + "]")
		b.until(fmt.Sprintf(`document.querySelector('[data-choice=span-%s]').getAttribute('aria-pressed') === 'true'`, span))
		// The line begins at the left edge: all of the span is known.
		b.until(`(x => x !== undefined && Number(x) < 70)(document.querySelector('#chart-messages path.trace')?.getAttribute('d').match(/M([0-9.]+)/)[1])`)
		from := value[float64](b, fmt.Sprintf(`fetch('api/q/history?kind=cluster&span=%s').then(a => a.json()).then(h => (Date.now() - h.from) / 3600000)`, span))
		if from < float64(hours)-1 || from > float64(hours)+1 {
			t.Errorf("%s: it begins %.1f h ago", span, from)
		}
	}
	b.do("reload", chromedp.Reload())
	b.until(`location.search.includes('span=') && document.querySelector('#chart-messages path.trace')`)
}

// TestFirstPaintIsFast opens the page anew until it is painted within 300 ms. It runs
// before the tests that run beside one another. On a machine that takes long for a page
// with nothing in it the page, which is of many files, may take longer, too.
func TestFirstPaintIsFast(t *testing.T) {
	r := &rig{t: t}
	admin := r.startAdmin("--nsqd-http-address=" + startFake(t, "2.0.0", nil, "events"))
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(`<!doctype html><title>empty</title><link rel="icon" href="data:,"><p>Nothing`))
	}))
	t.Cleanup(empty.Close)
	const tries, limit, times = 6, 300, 20
	page, bare := 1e9, 1e9 // ms, the least there was
	for range tries {
		page, bare = min(page, paint(t, admin.base())), min(bare, paint(t, empty.URL+"/"))
		if page < limit {
			break
		}
	}
	t.Logf("first paint after %.0f ms, of an empty page after %.0f ms", page, bare)
	if page > max(limit, times*bare) {
		t.Errorf("the first paint is after %.0f ms at best, that of an empty page after %.0f ms", page, bare)
	}
}

// paint is how long after it was asked for a page is painted first, in ms, by a browser
// that has nothing of it.
func paint(t testing.TB, address string) float64 {
	b := newTab(t, address)
	b.do("open", navigate(address))
	b.until(`performance.getEntriesByName('first-contentful-paint').length`)
	return value[float64](b, `performance.getEntriesByName('first-contentful-paint')[0].startTime`)
}
