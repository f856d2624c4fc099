package admin

import (
	"testing"

	"qmq/test/process"
)

// TestWhatIsHeldBackAndWhatWasDoubleIsAddedUp: over the nodes that tell of it.
func TestWhatIsHeldBackAndWhatWasDoubleIsAddedUp(t *testing.T) {
	node := func(name string, heldBack, stopped, doubles int) *fakeNode {
		c := aChannel("c", 7, 9)
		c["held_back_count"], c["stopped_count"] = heldBack, stopped
		topic := aTopic("t", 1, c)
		topic["dedup"] = object{"double_count": doubles, "ids": 4}
		return startNode(t, name, topic)
	}
	a, b, stock := node("a", 3, 1, 10), node("b", 4, 0, 5), startNode(t, "d", aTopic("t", 1, aChannel("c", 7, 9)))
	_, url := startServer(t, Options{Nodes: []string{a.address(), b.address(), stock.address()}})
	process.Eventually(t, "all nodes are known", func() bool {
		r := get(t, url+"/api/q/channel?topic=t&channel=c")
		return r.status == 200 && len(at(t, r.decoded(t), "data", "nodes").([]any)) == 3
	})
	channel := at(t, get(t, url+"/api/q/channel?topic=t&channel=c").decoded(t), "data", "figures").(object)
	same(t, "of the channel", []any{channel["held_back"], channel["stopped"]}, "[7 1]")
	same(t, "of the topic", at(t, get(t, url+"/api/q/topic?topic=t").decoded(t), "data", "figures", "doubles"), "15")
}
