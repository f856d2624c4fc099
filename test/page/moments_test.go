package page

import (
	"net/url"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// oddNames opens topics and channels whose names mean something to browsers.
func oddNames(b *tab, n *daemon) {
	odd := []string{".", "..", "__proto__", "constructor"}
	for _, name := range odd {
		n.post(b.t, "/topic/create?topic="+url.QueryEscape(name), "")
		n.post(b.t, "/channel/create?topic="+url.QueryEscape(name)+"&channel="+url.QueryEscape(name), "")
	}
	b.open("topics", "topics")
	for _, name := range odd {
		row := `tr[data-row="` + name + `"]`
		b.until(`document.querySelector('` + row + ` a')`)
		b.write("#filter", name)
		b.click("#topics-table " + row + " a")
		b.view("topic")
		b.until(`document.querySelector('h1').innerText === '` + name + `'`)
		b.click("#channels-table " + row + " a")
		b.view("channel")
		b.until(`document.querySelector('h1').innerText === '` + name + " / " + name + `'`)
		b.until(figure("depth", "n === 0"))
		b.do("reload "+name, chromedp.Reload())
		b.view("channel")
		b.click(".nav a[data-page=topics]")
		b.view("topics")
	}
	for _, name := range odd {
		n.post(b.t, "/topic/delete?topic="+url.QueryEscape(name), "")
	}
}

// holding goes on to another page, whose first numbers are shown.
func holding(b *tab) {
	b.open("", "overview")
	b.until(figure("topics", "n >= 2"))
	b.press(".")
	b.shows("#live", "Held")
	b.click(".nav a[data-page=topics]")
	b.view("topics")
	b.shows("#topics-table", "orders")
	b.shows(".sub", "topics")
	b.press("gn")
	b.view("nodes")
	b.until(`document.querySelectorAll('#nodes-table tbody tr').length === 2`)
	b.shows("#live", "Held")
	b.press(".")
	b.shows("#live", "Live")
}

// finding looks for a channel among the topics, and on a narrow screen.
func finding(b *tab) {
	b.open("topics", "topics")
	b.shows("#topics-table", "lonely")
	b.write("#filter", "billing")
	b.until(`!document.querySelector('#topics-table tr[data-row=lonely]')`)
	b.shows("#topics-table", "orders")
	b.size(390, 844)
	b.open("", "overview")
	b.press("/")
	b.until(`document.activeElement.id === 'find' && document.activeElement.offsetWidth > 250`)
	b.press("billing")
	b.shows("#found", "billing")
	b.fits(390)
	b.press("\r")
	b.view("channel")
}

// young looks at charts of a qadmin that has just begun: they span what is known.
func young(t *testing.T, r *rig) {
	b := newTab(t, r.startAdmin("--lookupd-http-address="+r.lookup.HTTP).base())
	b.open("topics/orders", "topic")
	b.until(`document.querySelector('#chart-published path.trace')`)
	// Two minutes of a line at least: it begins in the last of them.
	b.until(`(x => x > 40 && document.querySelectorAll('#chart-published svg text').length > 3)(Number(document.querySelector('#chart-published path.trace').getAttribute('d').match(/M([0-9.]+)/)[1]))`)
	if minutes := value[float64](b, `(([a, b]) => (b - a) || 0)([...document.querySelectorAll('#chart-published svg text[text-anchor=middle]')].map(e => e.textContent).filter(t => /^\d\d:\d\d$/.test(t)).map(t => Number(t.slice(3))))`); minutes > 2 {
		t.Errorf("its times are %v min apart", minutes)
	}
}

// atStake opens dialogs while a node is silent: they name it, with what it held.
func atStake(b *tab, living, dead *daemon, kill func()) {
	for _, n := range []*daemon{living, dead} {
		n.post(b.t, "/topic/create?topic=doomed", "")
		n.post(b.t, "/channel/create?topic=doomed&channel=c", "")
		n.post(b.t, "/mpub?topic=doomed", "one\ntwo\nthree")
	}
	b.open("topics", "topics")
	b.shows("#topics-table", "doomed")
	b.open("topics/doomed/c", "channel")
	b.until(figure("depth", "n === 6"))
	kill()
	b.until(figure("depth", "n === 3"))
	b.shows("[data-figure=depth] .means", "without ")
	b.click(".title [data-action=empty]")
	b.shows("#confirm .loss", "3")
	b.shows("#confirm-silent", dead.port()+" since ")
	b.shows("#confirm-silent", "last known 3")
	b.write("#confirm-name", "doomed/c")
	b.click("#confirm-go")
	b.shows("#confirm", "Half done.")
	b.shows("#confirm .at-stake", "3 messages there")
	b.click("#confirm-cancel")
	b.open("activity", "activity")
	b.shows("#activity-table", "1 of 2 nodes, 3 messages")
}

// leftOut looks at topics and channels while a node hangs: it is named, and what only it
// knows is not shown as zero.
func leftOut(b *tab, living, hung *daemon) {
	for _, n := range []*daemon{living, hung} {
		n.post(b.t, "/topic/create?topic=shared", "")
		n.post(b.t, "/channel/create?topic=shared&channel=both", "")
		n.post(b.t, "/mpub?topic=shared", "one\ntwo\nthree")
	}
	b.open("topics", "topics")
	b.shows("#topics-table", "shared")
	b.open("topics/shared", "topic")
	b.until(figure("channel_depth", "n === 6")) // by now nobody asks the directory any more which channels there are
	hung.post(b.t, "/channel/create?topic=shared&channel=alone", "")
	hung.post(b.t, "/mpub?topic=shared", "four\nfive")
	b.until(figure("channel_depth", "n === 10"))
	freeze(b.t, hung, syscall.SIGSTOP)
	defer freeze(b.t, hung, syscall.SIGCONT)
	b.until(figure("channel_depth", "n === 3"))
	b.shows(".sub", hung.port()+" since")
	b.shows("#channels-table tr[data-row=both]", "without 1 node")
	b.shows("#channels-table tr[data-row=alone]", "not known")
	b.until(`document.querySelector('#channels-table tr[data-row=alone] td[data-column=depth]').innerText === '–'`)
	b.until(`document.querySelectorAll('#nodes-table tr.gone .stale').length > 1`)
	b.open("topics/shared/alone", "channel")
	b.shows(".sub", hung.port()+" since")
	b.until(`document.querySelector('[data-figure=depth] .value').innerText === '–'`)
	b.open("topics", "topics")
	b.shows("#topics-table tr[data-row=shared]", "without 1 node")
	b.click("[data-choose=shared]")
	b.click("[data-bulk=delete]")
	b.shows("#bulk-silent", hung.port()+" since ")
	b.shows("#bulk-silent", "last known 7")
	b.press("\x1b")
	b.gone("#bulk")
	b.open("topics/shared", "topic")
	b.shows("#config-left", hung.port()+": gives no answer")
	b.click("[data-setting=max_age]")
	b.shows("#change-silent", hung.port()+" gives no answer since ")
}

// freeze stops a daemon where it is, or lets it go on.
func freeze(t testing.TB, d *daemon, how syscall.Signal) {
	if err := syscall.Kill(d.PID(), how); err != nil {
		t.Fatal(err)
	}
}

func TestStartIsThereUntilAMessageWasRead(t *testing.T) {
	t.Parallel()
	r := startRig(t, "")
	b := newTab(t, r.admin.base())
	b.open("", "overview")
	b.shows("h1", "Ready for the first message")
	b.click("#publish-here")
	b.shows("h1", "Ready for the first reader")
	b.shows("#waiting", "1 message waits in greetings")
	consume(t, "greetings", "print", nil, finish, r.nodes[0])
	b.shows("h1", "Nothing needs attention")
}
