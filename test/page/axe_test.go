package page

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// axe is the script that checks a page for accessibility, see testdata/axe/README.
func axe(t *testing.T) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "axe", "axe.min.js.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// clean runs axe on what is on the screen.
func (b *tab) clean(what, script string) {
	b.t.Helper()
	if !value[bool](b, `'axe' in window`) { // it is large
		b.do("axe", chromedp.Evaluate[chromedp.Void](script))
	}
	found := value[string](b, `axe.run(document, { resultTypes: ['violations'] }).then(r => JSON.stringify(r.violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + (n.failureSummary || '').split('\n').slice(1, 3).join(' ')).join(' | '))))`)
	var list []string
	if err := json.Unmarshal([]byte(found), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range list {
		b.t.Errorf("%s: %s", what, v)
	}
}

// TestEveryViewIsAccessible has axe-core look at every view, light and dark, on a desktop
// and on a phone.
func TestEveryViewIsAccessible(t *testing.T) {
	t.Parallel()
	script := axe(t)
	r := startRig(t, "")
	n := r.nodes[0]
	n.post(t, "/mpub?topic=orders", "one\ntwo\n"+order(3))
	n.post(t, "/channel/create?topic=orders&channel=billing", "")
	n.post(t, "/topic/create?topic=other", "")
	n.publish(t, "orders", 5, order)
	b := newTab(t, r.admin.base())
	b.open("topics", "topics")
	b.shows("#topics-table", "orders")
	for _, at := range [][2]string{{"", "overview"}, {"topics", "topics"}, {"topics/orders", "topic"}, {"topics/orders/billing", "channel"}, {"nodes", "nodes"},
		{"nodes/" + n.HTTP, "node"}, {"lookup", "lookup"}, {"counter", "counter"}, {"activity", "activity"}, {"nowhere", "notfound"}} {
		if at[1] == "notfound" {
			b.expect("404")
		}
		b.open(at[0], at[1])
		if at[1] == "topic" || at[1] == "channel" {
			b.click("[data-action=peek-again]")
			b.until(`document.querySelector('#body')`)
			b.shows("#config-table", "default")
		}
		b.cleanAnywhere(at[1], script)
	}
}

// cleanAnywhere runs axe on what is on the screen, light and dark, on a desktop and on a
// phone.
func (b *tab) cleanAnywhere(what, script string) {
	b.t.Helper()
	for _, look := range []struct {
		theme, screen string
		width, height int64
	}{{"light", "desktop", 1440, 900}, {"dark", "desktop", 1440, 900}, {"dark", "phone", 390, 844}, {"light", "phone", 390, 844}} {
		b.size(look.width, look.height)
		b.prefers("prefers-color-scheme", look.theme)
		b.clean(what+", "+look.theme+", "+look.screen, script)
	}
	b.size(1440, 900)
}

// adminHas tells whether qadmin knows a topic.
func adminHas(r *rig, topic string) bool {
	a, err := http.Get(r.admin.base() + "api/q/names")
	if err != nil {
		return false
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(a.Body)
	return strings.Contains(string(text), `"`+topic+`"`)
}
