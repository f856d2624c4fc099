package page

import (
	"net/http"

	"qmq/test/process"
	"qmq/test/wire"
)

// deadLetters are looked at, and put back, on the page of their topic.
func deadLetters(b *tab, n *daemon) {
	n.post(b.t, "/topic/create?topic=frail", "")
	n.post(b.t, "/channel/create?topic=frail&channel=work", "")
	if _, err := process.Ask(b.t.Context(), http.DefaultClient, http.MethodPut, n.HTTP, "/channel/config?topic=frail&channel=work",
		`{"max_attempts": 1, "dead_letter_topic": "frail.dead"}`); err != nil {
		b.t.Fatal(err)
	}
	n.post(b.t, "/mpub?topic=frail", "first <b>\nsecond")
	c := wire.Consume(b.t, n.TCP, "frail", "work", 2)
	for range 2 {
		c.Req(c.Message(), 0)
	}
	c.Send("RDY 0\n")
	awaitJSON(b.t, "http://"+n.HTTP+"/stats?format=json&topic=frail.dead", func(stats struct {
		Topics []struct {
			Depth int `json:"depth"`
		} `json:"topics"`
	}) bool {
		return len(stats.Topics) == 1 && stats.Topics[0].Depth == 2
	})
	b.open("topics", "topics")
	b.until(`document.querySelector('tr[data-row="frail.dead"]')`)
	b.open("topics/frail.dead", "topic")
	b.click("[data-action=dead-letters]")
	b.shows("#dead-letters-table tbody tr:first-child", "frail / work")
	b.shows("#dead-letters-table", "first <b>")
	b.shows("#dead-letters-table", "requeue, attempt 1")
	b.click("#dead-letters-table tbody tr:first-child [data-action=put-back]")
	b.shows("#dead-letters", "1 message put back")
	b.until(`document.querySelectorAll('#dead-letters-table tbody tr').length === 1`)
	b.click("[data-action=put-back-all]")
	b.shows("#dead-letters", "No dead letters.")
	b.open("topics/frail/work", "channel")
	b.until(figure("depth", "n === 2"))
	b.open("activity", "activity")
	b.shows("#activity-table", "put back dead letters")
}
