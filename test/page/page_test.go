package page

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsqio/go-nsq"
)

// TestPage looks at one set of daemons in many ways, which do not disturb one another:
// starting them takes longer than looking.
func TestPage(t *testing.T) {
	t.Parallel()
	r := startRig(t, "", "")
	a, b := r.nodes[0], r.nodes[1]
	flowing(t, r)
	consume(t, "orders", "billing", func(c *nsq.Config) { c.ClientID, c.UserAgent = "billing-1", "ledger/4.2" }, finish, a, b)
	look := func(name string, f func(b *tab)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(newTab(t, r.admin.base()))
		})
	}
	look("EveryViewRendersRealData", func(b *tab) { everyView(b, r) })
	look("NothingHostileRuns", func(b *tab) { hostile(b, r) })
	look("TopicsAndChannelsAreMadeUsedAndDeletedByClicking", aLife)
	look("NumbersMoveWhileMessagesFlow", numbersMove)
	look("DangerousActionsWantTheNameTyped", func(b *tab) { typedNames(b, a) })
	look("DarkIsASetOfItsOwnAndIsRemembered", dark)
	look("PhonesScrollOneWayOnly", phone)
	look("KeysLeadToAllPages", keys)
	look("NamesThatMeanSomethingToBrowsersOpen", func(b *tab) { oddNames(b, a) })
	look("HoldShowsTheFirstFrameOfANewView", holding)
	look("DeadLettersArePutBackByClicking", func(b *tab) { deadLetters(b, a) })
	look("WhatIsHeldBackAndWhatWasDoubleIsSaid", func(b *tab) { inOrder(b, a) })
	look("BoundedChannelShowsHowFarItIs", func(b *tab) { bounded(b, a) })
	look("ChannelsAreFoundAmongTopicsAndOnPhones", finding)
	for name, f := range map[string]func(*testing.T, *rig){
		"OtherBasePath": otherBase, "SigningInAndWhatAViewerMay": signingIn, "NodeWithoutPeekSaysSo": withoutPeek,
		"ServerThatDiesLeavesTheNumbersReadable": serverDies, "ChartsSpanWhatIsKnown": young, "DamageIsShownUntilItIsAcknowledged": damaged,
		"ADiskThatIsFullSoonNeedsAttention": diskLow, "WeeksOfHistoryAreShown": longAgo, "PatternsOfANodeAreNamed": patterns,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, r)
		})
	}
}

// flowing has orders come to all nodes of a rig.
func flowing(t *testing.T, r *rig) {
	for _, n := range r.nodes {
		n.post(t, "/topic/create?topic=orders", "")
		n.post(t, "/channel/create?topic=orders&channel=archive", "")
		n.post(t, "/channel/create?topic=orders&channel=billing", "")
		n.publish(t, "orders", 40, order)
	}
	r.nodes[0].post(t, "/pub?topic=lonely", "nobody reads this")
}

// TestNodesThatFail stops and kills a node, again and again.
func TestNodesThatFail(t *testing.T) {
	t.Parallel()
	r := startRig(t, "", "")
	a, b := r.nodes[0], r.nodes[1]
	flowing(t, r)
	t.Run("SilentNodeIsNamedAndLeftOut", func(t *testing.T) { leftOut(newTab(t, r.admin.base()), a, b) })
	t.Run("DialogsCountSilentNodes", func(t *testing.T) { atStake(newTab(t, r.admin.base()), a, b, b.Kill) })
	b.Start(t)
	t.Run("NodeThatDiesIsNamedAndComesBack", func(t *testing.T) { dying(newTab(t, r.admin.base()), b) })
}

func everyView(b *tab, r *rig) {
	b.load("", "overview")
	b.t.Logf("%d requests, %d bytes over the wire", value[int](b, `performance.getEntriesByType('resource').length`), value[int](b, `performance.getEntriesByType('resource').reduce((n, e) => n + e.transferSize, 0)`))
	b.until(figure("published", "n > 5 && n < 160"))
	b.until(figure("topics", "n >= 2"))
	b.shows("#nodes-card tbody", r.nodes[0].port())
	b.shows("#nodes-card footer", "1 of 1 lookupd answers")
	b.shows("#busiest-table", "orders")
	b.shows("#live", "Live, 2 nodes")
	b.gone(".nav a[data-page=sets]") // there is no set of replicas
	b.load("topics", "topics")
	b.shows("#topics-table tr[data-row=orders]", "no consumers")
	b.shows("#topics-table tr[data-row=lonely] [data-column=depth]", "1")
	b.until(`/^(\d+) of \1$/.test(document.querySelector('#shown').innerText)`)
	b.load("topics/orders", "topic")
	b.shows("#channels-table tr[data-row=billing] [data-column=consumers]", "2")
	b.until(figure("size", "n > 90 && n < 130"))
	b.until(`document.querySelectorAll('#nodes-table tbody tr').length === 2`)
	b.until(`document.querySelector('#chart-published path.trace')`)
	b.load("topics/orders/billing", "channel")
	b.shows("#consumers-table", "billing-1")
	b.shows("#consumers-table", "ledger/4.2")
	b.until(figure("finished", "n > 5 && n < 160"))
	b.until(`document.querySelectorAll('#nodes-table tbody tr').length === 2`)
	b.load("nodes", "nodes")
	b.shows("#nodes-table", "qd 2.")
	b.shows("#nodes-table [data-column=registered]", "1 of 1")
	b.shows("#lookupds-table", r.lookup.HTTP)
	b.click("#nodes-table tbody a")
	b.view("node")
	b.shows("#topics-table", "orders")
	b.until(figure("published", "n > 2 && n < 90"))
	b.load("lookup", "lookup")
	b.shows("#lookupds-table", "2 of 2")
	b.load("counter", "counter")
	b.until(`Number(document.querySelector('#counter').innerText.replace(/\D/g, '')) > 10`)
	b.load("activity", "activity")
	b.shows("main", "Activity")
}

func numbersMove(b *tab) {
	b.open("topics/orders", "topic")
	b.until(`window.before ??= {n: document.querySelector('[data-figure=messages] .value').innerText, line: document.querySelector('#chart-depth path.trace')?.getAttribute('d')}`)
	b.until(`document.querySelector('[data-figure=messages] .value').innerText !== before.n`)
	b.until(`(d => d && d !== before.line)(document.querySelector('#chart-depth path.trace')?.getAttribute('d'))`)
	b.open("topics/orders/archive", "channel")
	b.until(`window.depth ??= document.querySelector('[data-figure=depth] .value').innerText`)
	b.until(figure("depth", `n > Number(depth.replace(/\D/g, ''))`))
}

// aLife is that of a topic and its channel.
func aLife(b *tab) {
	b.open("topics", "topics")
	b.click("#create-topic")
	b.write("#create-topic[autocomplete]", "bad name!")
	b.click("#create-go")
	b.shows("#create .problem", "only letters")
	b.write("#create-topic[autocomplete]", "made.here")
	b.write("#create-channel", "first")
	b.click("#create-go")
	b.view("channel")
	b.shows("#account", "Created made.here / first")
	b.click(".crumbs a[href='topics/made.here']")
	b.view("topic")
	b.shows(".sub", "No node has this topic")
	b.write("#publish-body", `{"hello": "world", "n": 12345678901234567890}`)
	b.click("#publish-go")
	b.shows("#publish-said", " B to ")
	b.shows("#channels-table tr[data-row=first] [data-column=depth]", "1")
	b.click("[data-action=create-channel]")
	b.write("#create-channel", "second")
	b.click("#create-go")
	b.view("channel")
	b.shows("h1", "second")
	b.open("topics/made.here/first", "channel")
	b.click(".title [data-action=peek]")
	b.shows("#body[data-as=json]", `"n": 12345678901234567890`)
	b.click("[data-choice=as-text]")
	b.shows("#body[data-as=text]", `{"hello": "world"`)
	b.click("[data-choice=as-hex]")
	b.shows("#body[data-as=hex]", "7b 22 68 65 6c 6c 6f")
	b.until(figure("depth", "n === 1"))
	b.click(".title [data-action=pause]")
	b.shows("#account", "Paused made.here / first")
	b.shows(".title", "Unpause")
	b.click(".title [data-action=unpause]")
	b.shows("#account", "Unpaused")
	b.until(`document.querySelector('.title [data-action=pause]')`)
	b.click(".title [data-action=delete]")
	b.write("#confirm-name", "made.here/first")
	b.click("#confirm-go")
	b.view("topic")
	b.shows("#account", "Deleted made.here / first")
	b.gone("tr[data-row=first]")
	b.click(".title [data-action=delete]")
	b.write("#confirm-name", "made.here")
	b.press("\r")
	b.view("topics")
	b.until(`!document.querySelector('tr[data-row="made.here"]') && document.querySelector('tr[data-row=orders]')`)
	b.open("activity", "activity")
	b.shows("#activity-table", "deleted topic")
	b.shows("#activity-table", "published 1 message")
}

func typedNames(b *tab, n *daemon) {
	n.post(b.t, "/topic/create?topic=precious", "")
	n.post(b.t, "/channel/create?topic=precious&channel=kept", "")
	n.post(b.t, "/mpub?topic=precious", "one\ntwo\nthree")
	b.open("topics", "topics")
	b.shows("#topics-table tr[data-row=precious] [data-column=depth]", "3")
	b.write("#filter", "precious") // rows of others come and go
	b.until(`document.querySelectorAll('#topics-table tbody tr').length === 1`)
	b.click("tr[data-row=precious] a")
	b.view("topic")
	b.click("tr[data-row=kept] a")
	b.view("channel")
	b.click(".title [data-action=empty]")
	b.shows("#confirm .loss", "3")
	for _, wrong := range []string{"kept", "precious", "precious/kep", "PRECIOUS/KEPT", "precious / kept"} {
		b.write("#confirm-name", wrong)
		b.press("\r")
		b.until(`document.querySelector('#confirm-go').disabled && document.querySelector('#confirm').open`)
	}
	b.press("\x1b")
	b.gone("#confirm")
	b.until(figure("depth", "n === 3"))
	b.click(".title [data-action=empty]")
	b.write("#confirm-name", "precious/kept")
	b.click("#confirm-go")
	b.shows("#account", "Emptied precious / kept: 1 of 1 node")
	b.until(figure("depth", "n === 0"))
	b.deleteTopic("precious") // as somebody else would
	b.until(`document.querySelector('#gone')`)
}

func dark(b *tab) {
	light := func(is string) string {
		return `(([r, g, b]) => r + g + b ` + is + `)(getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number))`
	}
	b.prefers("prefers-color-scheme", "light")
	b.open("", "overview")
	b.until(light("> 600"))
	b.prefers("prefers-color-scheme", "dark")
	b.until(light("< 150"))
	b.click("#theme")
	b.until(light("> 600"))
	b.open("topics", "topics")
	b.until(light("> 600"))
	b.press("t")
	b.until(light("< 150"))
}

func phone(b *tab) {
	b.size(390, 844)
	for _, at := range [][2]string{{"", "overview"}, {"topics", "topics"}, {"topics/orders", "topic"}, {"topics/orders/billing", "channel"}, {"nodes", "nodes"},
		{"lookup", "lookup"}, {"counter", "counter"}, {"activity", "activity"}} {
		b.open(at[0], at[1])
		b.fits(390)
		if small := value[string](b, `[...document.querySelectorAll('main button, header button')].filter(e => e.offsetParent && !e.closest('td, th') && e.offsetHeight < 30 && !e.classList.contains('link')).map(e => e.innerText || e.id).join(', ')`); small != "" {
			b.t.Errorf("%s: too small for a thumb: %s", at[1], small)
		}
	}
}

// fits checks that the page does not scroll sideways.
func (b *tab) fits(width int64) {
	b.t.Helper()
	if wide := value[int64](b, `document.documentElement.scrollWidth`); wide > width {
		b.t.Errorf("%s is %d px wide: %s", b.at(), wide, value[string](b, fmt.Sprintf(`[...document.querySelectorAll('body *')]
			.filter(e => e.getBoundingClientRect().right > %d).slice(0, 6).map(e => e.tagName + '#' + e.id + '.' + e.className).join(', ')`, width+1)))
	}
}

// insight checks that all columns of a table are in sight.
func (b *tab) insight(table string, width int64) {
	b.t.Helper()
	if over := value[int64](b, fmt.Sprintf(`(t => Math.ceil(t.scrollWidth - t.clientWidth))(document.querySelector('%s').closest('.scroll, .window'))`, table)); over > 0 {
		b.t.Errorf("%s: at %d px %d px of %s are out of sight", b.at(), width, over, table)
	}
}

func keys(b *tab) {
	b.open("", "overview")
	for _, k := range []struct{ keys, view string }{{"gt", "topics"}, {"gn", "nodes"}, {"gl", "lookup"}, {"gc", "counter"}, {"ga", "activity"}, {"go", "overview"}} {
		b.press(k.keys)
		b.view(k.view)
	}
	b.press("/")
	b.until(`document.activeElement.closest('.find')`)
	b.press("billing")
	b.shows(".find", "orders")
	b.press("\r")
	b.view("channel")
	b.shows("h1", "billing")
}

func dying(b *tab, n *daemon) {
	b.open("", "overview")
	b.shows("#live", "Live, 2 nodes")
	n.Kill()
	b.shows(".sub", "1 of 2 nodes answered")
	b.shows("#live", "1 of 2 nodes")
	b.shows("#nodes-card tr.gone", n.port())
	b.shows("#attention", "connection refused on port "+n.port())
	b.until(figure("depth", "n > 0"))
	b.shows("[data-figure=depth] .means", "without ")
	b.click("#nodes-card tr.gone a")
	b.view("node")
	b.shows("#verdict", "No answer since")
	b.shows("#topics-table", "orders")
	b.click(".nav a[data-page=overview]")
	b.view("overview")
	b.shows("#attention", "No answer since")
	n.Start(b.t)
	b.shows("#live", "Live, 2 nodes")
	b.until(`!document.querySelector('#nodes-card tr.gone')`)
	b.until(`document.querySelector('#attention a.over')?.innerText.includes('Gave no answer from')`)
	// On a busy machine nodes that live are silent now and then, too.
	marks := value[string](b, `fetch('api/q/history?kind=cluster&span=5m').then(a => a.json()).then(h => h.marks.map(m => m.kind).join(' '))`)
	if _, later, silent := strings.Cut(marks, "silent"); !silent || !strings.Contains(later, "restart") {
		b.t.Errorf("marks of a node that died and came back: %v", marks)
	}
}

func serverDies(t *testing.T, r *rig) {
	d := r.startAdmin("--lookupd-http-address=" + r.lookup.HTTP)
	b := newTab(t, d.base())
	b.expect("ERR_CONNECTION_REFUSED")
	b.expect("ERR_INCOMPLETE_CHUNKED_ENCODING")
	b.expect("ERR_EMPTY_RESPONSE")
	b.expect("ERR_CONNECTION_RESET")
	b.open("", "overview")
	b.until(figure("depth", "n > 0"))
	d.Kill()
	b.shows("#live", "Last seen")
	b.until(`document.querySelector('.lost-values')`)
	b.until(figure("depth", "n > 0"))
	d.Start(t)
	b.shows("#live", "Live, 2 nodes")
	b.gone(".lost-values")
}

// port of a node tells it apart on this machine.
func (d *daemon) port() string { return d.HTTP[len(d.HTTP)-len("12345"):] }
