package admin

import (
	"testing"

	"qmq/test/process"
)

// TestBoundedChannelIsDoneWhenItIsOnAllNodes that have it.
func TestBoundedChannelIsDoneWhenItIsOnAllNodes(t *testing.T) {
	node := func(name string, depth int, done bool) *fakeNode {
		c := aChannel("part", depth, 9)
		c["in_flight_count"], c["deferred_count"], c["until"], c["done"], c["then"] = 0, 0, 1<<53+1, done, "delete"
		return startNode(t, name, aTopic("t", 0, c, aChannel("c", 1, 1)))
	}
	a, b := node("a", 0, true), node("b", 4, false)
	_, url := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	process.Eventually(t, "both nodes are known", func() bool {
		r := get(t, url+"/api/q/channel?topic=t&channel=part")
		return r.status == 200 && len(at(t, r.decoded(t), "data", "nodes").([]any)) == 2
	})
	page := at(t, get(t, url+"/api/q/channel?topic=t&channel=part").decoded(t), "data").(object)
	same(t, "bounded", page["bounded"], "map[done:false leaves:true left:4]")
	for _, n := range page["nodes"].([]any) {
		n := n.(object)
		same(t, "its end", n["until"], "9007199254740993")
		same(t, "done at its end", n["done"] == true, n["depth"] == 0.0)
	}
	channels := at(t, get(t, url+"/api/q/topic?topic=t").decoded(t), "data", "channels").([]any)
	same(t, "in the topic", []any{channels[0].(object)["bounded"], channels[1].(object)["bounded"]}, "[<nil> map[done:false leaves:true left:4]]")
}

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
