package page

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"qmq/test/process"
)

// pausing pauses a topic while a node hangs: the page says at once that the other one is
// paused and who is pending, and later how that went.
func pausing(b *tab, living, hung *daemon) {
	for _, n := range []*daemon{living, hung} {
		n.post(b.t, "/topic/create?topic=halting", "")
	}
	b.open("topics", "topics")
	b.shows("#topics-table", "halting")
	b.open("topics/halting", "topic")
	b.until(`document.querySelectorAll('#nodes-table tbody tr').length === 2`)
	freeze(b.t, hung, syscall.SIGSTOP)
	b.click(".title [data-action=pause]")
	b.shows("#account", "Under way.")
	b.shows("#account", "1 of 2 nodes")
	b.shows("#account", hung.port()+" is pending")
	freeze(b.t, hung, syscall.SIGCONT)
	b.shows("#account", "Paused halting: 2 of 2 nodes")
}

// searching looks at messages of a topic without a channel, and at those of a channel, in
// pages; it acts on one of them.
func searching(b *tab, n *daemon) {
	var lines []string
	for i := range 25 {
		lines = append(lines, fmt.Sprintf(`{"order": %d}`, 1000+i))
	}
	n.post(b.t, "/mpub?topic=searched", strings.Join(lines, "\n"))
	b.open("topics", "topics")
	b.shows("#topics-table", "searched")
	b.open("topics/searched", "topic")
	b.click("[data-action=peek-again]")
	b.shows("#messages footer", "20 messages")
	b.shows("#messages .message:first-child", "1024")
	b.shows("#messages .message:first-child", "waits in the topic")
	b.click("#peek-next")
	b.shows("#messages footer", "on page 2")
	b.until(`document.querySelectorAll('#messages .message').length === 5`)
	b.write("#peek-contains", "1007")
	b.click("#peek-go")
	b.until(`document.querySelectorAll('#messages .message').length === 1`)
	b.shows("#body", `"order": 1007`)
	b.shows("#messages footer", "looked through")
	if got := value[string](b, `fetch(document.querySelector('#messages [data-action=download]').href).then(a => a.text())`); got != `{"order": 1007}` {
		b.t.Errorf("downloaded %q", got)
	}
	b.click("#messages [data-action=edit]")
	b.shows("#again h2", "Publish to searched")
	b.write("#again #publish-body", `{"order": 7007}`)
	b.click("#again #publish-go")
	b.shows("#again #publish-said", "Published")
	b.press("\x1b")
	n.post(b.t, "/channel/create?topic=searched&channel=work", "")
	b.shows("#channels-table", "work")
	b.open("topics/searched/work", "channel")
	b.until(figure("depth", "n === 26"))
	b.write("#peek-contains", "1007")
	b.click("#peek-go")
	b.shows("#body", `"order": 1007`)
	b.click("#messages [data-action=republish]")
	b.write("#republish-to", "searched.again")
	b.click("#republish-finish")
	b.click("#republish-go")
	b.shows("#message-said", "Published to searched.again.")
	b.until(figure("depth", "n === 25"))
	b.write("#peek-contains", "1008")
	b.click("#peek-go")
	b.shows("#body", `"order": 1008`)
	b.click("#messages [data-action=finish]")
	b.click("#finish-go")
	b.shows("#message-said", "Finished.")
	b.until(figure("depth", "n === 24"))
	b.click(".title [data-action=move]")
	b.write("#move-to", "searched.again")
	b.click("#move-go")
	b.shows("#job", "Done.")
	b.shows("#job", "24 of 24")
	b.click("#job-close")
	b.until(figure("depth", "n === 0"))
}

// publishingMany publishes lines as messages.
func publishingMany(b *tab) {
	b.open("topics/searched.again", "topic")
	b.until(figure("topic_depth", "n === 25"))
	b.write("#publish-body", "one\ntwo\nthree")
	b.click("#publish-lines")
	b.shows("#publish-go", "Publish 3")
	b.click("#publish-go")
	b.shows("#publish-said", "Published 3 messages")
	b.until(figure("topic_depth", "n === 28"))
}

// tailing watches a topic, which goes when it is closed, and takes no backlog.
func tailing(b *tab, r *rig) {
	b.expect("409")
	b.open("topics/orders", "topic")
	b.click("#tail-turn")
	b.until(`document.querySelectorAll('#tail [data-tailed]').length > 2`)
	b.shows("#channels-table", "qadmin-")
	b.click("#tail-turn")
	b.until(`![...document.querySelectorAll('#channels-table tr')].some(e => e.innerText.includes('qadmin-'))`)
	b.open("topics/searched.again", "topic")
	b.until(figure("topic_depth", "n === 28"))
	b.click("#tail-turn")
	b.shows("#tail-said", "messages wait for a first channel")
	b.until(figure("topic_depth", "n === 28"))
	b.until(`document.querySelector('#channels .nothing')`)
}

// many empties several topics with one typed confirmation, which counts first.
func many(b *tab, n *daemon) {
	for _, topic := range []string{"many-a", "many-b", "many-c"} {
		n.post(b.t, "/mpub?topic="+topic, "one\ntwo")
	}
	b.open("topics", "topics")
	b.write("#filter", "many-")
	b.until(`document.querySelectorAll('#topics-table tbody tr').length === 3`)
	b.click("[data-choose=many-a]")
	b.click("[data-choose=many-b]")
	b.shows("#chosen", "2 topics chosen")
	b.click("[data-bulk=empty]")
	b.shows("#bulk .loss", "2 topics")
	b.until(`document.querySelector('#bulk-waiting').innerText === '4'`)
	b.write("#bulk-name", "empty 3")
	b.until(`document.querySelector('#bulk-go').disabled`)
	b.write("#bulk-name", "empty 2")
	b.click("#bulk-go")
	b.shows("#job", "Done.")
	b.shows("#job", "2 of 2")
	b.shows("#job [data-job-node]", "4")
	b.click("#job-close")
	b.shows("tr[data-row=many-a] [data-column=depth]", "0")
	b.shows("tr[data-row=many-c] [data-column=depth]", "2")
	choose := func(verb string, topics ...string) {
		for _, topic := range topics {
			b.click("[data-choose=" + topic + "]")
		}
		b.click("[data-bulk=" + verb + "]")
	}
	choose("pause", "many-b", "many-c")
	b.gone("#bulk-name") // it can be undone
	b.click("#bulk-go")
	b.shows("#job", "2 of 2")
	b.click("#job-close")
	b.shows("tr[data-row=many-b]", "paused")
	b.shows("tr[data-row=many-c]", "paused")
	choose("delete", "many-b", "many-c")
	b.shows("#bulk .loss", "2 topics")
	b.write("#bulk-name", "delete 2")
	b.click("#bulk-go")
	b.shows("#job", "2 of 2")
	b.click("#job-close")
	b.until(`document.querySelectorAll('#topics-table tbody tr').length === 1`)
	b.open("activity", "activity")
	b.shows("#activity-table", "emptied many")
	b.shows("#activity-table", "2 topics, 4 messages")
	b.shows("#activity-table", "paused many")
	b.shows("#activity-table", "deleted many")
}

// connecting looks at who publishes and who consumes, and closes one of them.
func connecting(b *tab, n *daemon) {
	b.open("topics/orders", "topic")
	b.shows("#connections-table", "publishes to orders")
	b.shows("#connections-table", "orders / billing")
	b.click("[data-choice=connections-consume]")
	b.until(`![...document.querySelectorAll('#connections-table tr')].some(e => e.innerText.includes('publishes to'))`)
	b.until(`(window.client ??= document.querySelector('#connections-table [data-client]')?.dataset.client)`)
	b.do("close", evaluate(`document.querySelector('#connections-table [data-client]').click()`))
	b.click("#close-client-go")
	b.until(`!document.querySelector('#connections-table [data-client="' + client + '"]')`)
	b.open("nodes", "nodes")
	b.shows("#nodes-table [data-column=disk_free_bytes]", "iB")
	b.click(`#nodes-table tr[data-row="` + n.HTTP + `"] a`)
	b.view("node")
	b.shows("[data-figure=disk] .value", "iB")
	b.shows("#connections-table", "publishes to orders")
	b.until(`document.querySelector('#log-level')?.value === 'info'`)
	b.shows("[data-option=msg_timeout]", "1 min")
	b.do("log level", evaluate(`(e => { e.value = 'debug'; e.dispatchEvent(new Event('change')) })(document.querySelector('#log-level'))`))
	b.shows("#setting-said", "log_level is debug")
}

// saving saves tables as CSV.
func saving(b *tab) {
	b.open("topics", "topics")
	b.shows("#topics-table", "orders")
	text := value[string](b, `(async () => {
		const [{ csv }] = await Promise.all([import('./static/files.js')])
		return csv([{ key: 'a', value: r => r.a }, { key: 'b', cell: () => '' }, { key: 'c', plain: r => r.c }], [{ a: 1, c: 'x,"y' }, { a: null, c: '=1+1' }])
	})()`)
	if want := "a,c\r\n1,\"x,\"\"y\"\r\n,'=1+1\r\n"; text != want {
		b.t.Errorf("CSV is %q, want %q", text, want)
	}
	b.until(`document.querySelector('[data-action=csv][data-table=topics-table]')`)
}

// filtering filters and sorts ten thousand topics, as every keystroke does. How long that
// takes is for people: what it must not do is ask a row for its texts more than once.
func filtering(b *tab) {
	const rows = 10_000
	b.open("topics", "topics")
	type filtered struct {
		Found, Texts, Keys int
		Sorted             bool
		Took               float64
	}
	got := value[filtered](b, fmt.Sprintf(`(async () => {
		const { filter, sort } = await import('./static/rows.js')
		const rows = Array.from({ length: %d }, (_, i) => ({ topic: 'team-' + i %% 97 + '.topic.number.' + i, names: 'archive billing', depth: i * 7919 %% 10007 }))
		let Texts = 0, Keys = 0
		const began = performance.now()
		const found = sort(filter(rows, 'NUMBER billing', r => { Texts++; return r.topic + ' ' + r.names }), r => { Keys++; return r.depth }, true)
		const Took = performance.now() - began
		return { Found: found.length, Texts, Keys, Took, Sorted: found.every((r, i) => i === 0 || found[i - 1].depth >= r.depth) }
	})()`, rows))
	b.t.Logf("10,000 topics are filtered and sorted in %.1f ms", got.Took)
	if got.Found != rows || !got.Sorted || got.Texts != rows || got.Keys != rows {
		b.t.Errorf("of %d rows: %+v", rows, got)
	}
}

// TestPageActs shares its daemons among all that people do on the page.
func TestPageActs(t *testing.T) {
	t.Parallel()
	r := startRig(t, "--max-msg-size=6000000", "")
	a, b := r.nodes[0], r.nodes[1]
	a.post(t, "/topic/create?topic=orders", "")
	a.post(t, "/channel/create?topic=orders&channel=billing", "")
	a.publish(t, "orders", 20, order)
	consume(t, "orders", "billing", nil, finish, a)
	process.Eventually(t, "qadmin sees the topic", func() bool { return adminHas(r, "orders") })
	for _, s := range []struct {
		name string
		do   func(*tab)
	}{
		{"messages", func(tab *tab) { searching(tab, a) }},
		{"many messages", publishingMany},
		{"messages from a time on", func(tab *tab) { peekingSince(tab, a) }},
		{"a body of 5 MB", func(tab *tab) { hugeBody(tab, a) }},
		{"settings", func(tab *tab) { settings(tab, a, b) }},
		{"replay", func(tab *tab) { replaying(tab, a) }},
		{"tail", func(tab *tab) { tailing(tab, r) }},
		{"many topics", func(tab *tab) { many(tab, a) }},
		{"connections", func(tab *tab) { connecting(tab, a) }},
		{"CSV", saving},
		{"many rows", filtering},
		{"pausing at a node that hangs", func(tab *tab) { pausing(tab, a, b) }},
	} {
		t.Run(s.name, func(t *testing.T) { s.do(newTab(t, r.admin.base())) })
	}
}
