package page

import (
	"net/http"

	"qmq/test/process"
)

// inOrder looks at a topic that knows doubles, and at a channel in which one message holds
// back another one of its key, and then has stopped it.
func inOrder(b *tab, n *daemon) {
	set := func(path, settings string) {
		b.t.Helper()
		if _, err := process.Ask(b.t.Context(), http.DefaultClient, http.MethodPut, n.HTTP, path, settings); err != nil {
			b.t.Fatal(err)
		}
	}
	n.post(b.t, "/topic/create?topic=steps", "")
	n.post(b.t, "/channel/create?topic=steps&channel=walk", "")
	set("/topic/config?topic=steps", `{"dedup_window": "10m"}`)
	set("/channel/config?topic=steps&channel=walk", `{"ordered": "key", "max_attempts": 1, "after_max_attempts": "stop"}`)
	for _, id := range []string{"1", "2", "2"} {
		n.post(b.t, "/pub?topic=steps&key=k&dedup_id="+id, id)
	}
	n.post(b.t, "/sub?topic=steps&channel=walk&max=5&lease=600000", "") // longer than the test looks
	b.open("topics", "topics")
	b.until(`document.querySelector('tr[data-row="steps"]')`)
	b.open("topics/steps", "topic")
	b.shows("[data-figure=messages]", "1 double left out")
	b.shows(".title [data-setting=dedup_window]", "no doubles within 10m")
	b.open("topics/steps/walk", "channel")
	b.shows("[data-figure=depth]", "1 held back to keep order")
	b.shows(".title [data-setting=ordered]", "ordered by key")
	n.post(b.t, "/pub?topic=steps&key=other", "x")
	n.post(b.t, "/sub?topic=steps&channel=walk&max=5&lease=1000", "")
	b.shows("[data-figure=depth]", "1 stopped, 1 held back")
}
