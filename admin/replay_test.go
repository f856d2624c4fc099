package admin

import (
	"net/http"
	"testing"

	"qmq/test/process"
)

// startReplayNode is a qd that can go back in its log, and says no to the future.
func startReplayNode(t *testing.T, name, role string) *fakeNode {
	topic := aTopic("t", 1, aChannel("c", 7, 9))
	if role != "" {
		topic["replica"] = object{"role": role, "shard": 3, "leader": "a:4153", "term": 2, "applied": 9, "lag": 0}
	}
	n := startNode(t, name, topic)
	n.set(func(n *fakeNode) {
		n.stats["version"] = "2.0.0"
		n.own = map[string]http.HandlerFunc{"/channel/rewind": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("to") == "later" {
				w.WriteHeader(400)
				answerJSON(w, object{"message": "INVALID_TO", "allowed": "first", "why": `"later" is no place in the log`})
				return
			}
			n.posts = append(n.posts, r.URL.RequestURI())
			answerJSON(w, object{"messages": 3, "joined": n.joins})
		}, "/channel/create": func(w http.ResponseWriter, r *http.Request) {
			n.posts = append(n.posts, r.URL.RequestURI())
			answerJSON(w, object{"messages": 3})
		}}
	})
	return n
}

func TestChannelsAreRewoundAndMadeFromAPlaceInTheLog(t *testing.T) {
	a, b := startReplayNode(t, "a", ""), startReplayNode(t, "b", "")
	stock := startNode(t, "d", aTopic("t", 1, aChannel("c", 7, 9)), aTopic("old", 1, aChannel("c", 1, 1)))
	directory := startDirectory(t, map[*fakeNode][]string{a: {"t"}, b: {"t"}, stock: {"t", "old"}})
	_, url := startServer(t, Options{Lookupds: []string{directory.address()}})
	process.Eventually(t, "all nodes are known", func() bool {
		shared, old := get(t, url+"/api/q/channel?topic=t&channel=c"), get(t, url+"/api/q/channel?topic=old&channel=c")
		return old.status == 200 && shared.status == 200 && len(at(t, shared.decoded(t), "data", "nodes").([]any)) == 3
	})
	act := func(order string) object { return postJSON(t, url+"/api/q/act", order).decoded(t) }
	same(t, "rewound", at(t, act(`{"action":"rewind_channel","topic":"t","channel":"c","from":"first"}`), "summary"), "from first: 2 of 2 nodes")
	same(t, "told", []any{a.told(), b.told(), stock.told()}, "[[/channel/rewind?channel=c&to=first&topic=t] [/channel/rewind?channel=c&to=first&topic=t] []]")
	same(t, "made", at(t, act(`{"action":"create_channel","topic":"t","channel":"new","from":"2026-03-12T14:05:00Z"}`), "summary"), "from 2026-03-12T14:05:00Z: 2 of 2 nodes")
	same(t, "told", []any{a.told(), stock.told(), directory.told()}, "[[/channel/create?channel=new&from=2026-03-12T14%3A05%3A00Z&topic=t] [] []]")
	same(t, "refused", at(t, act(`{"action":"rewind_channel","topic":"t","channel":"c","from":"later"}`), "results", 0, "error"), `"later" is no place in the log: allowed is first`)
	for order, why := range map[string]string{
		`{"action":"rewind_channel","topic":"t","channel":"c"}`:                  "Where it is rewound to is missing.",
		`{"action":"rewind_channel","topic":"old","channel":"c","from":"first"}`: "nsqd 1.3.0 cannot go back in a log.",
		`{"action":"create_channel","topic":"u","channel":"c","from":"first"}`:   "No node has the topic u.",
	} {
		same(t, order, at(t, act(order), "text"), why)
	}
}

func TestChannelOfAReplicatedTopicIsRewoundOnce(t *testing.T) {
	a, b := startReplayNode(t, "a", "leader"), startReplayNode(t, "b", "follower")
	_, url := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	get(t, url+"/api/q/overview")
	answer := postJSON(t, url+"/api/q/act", `{"action":"rewind_channel","topic":"t","channel":"c","from":"last"}`).decoded(t)
	same(t, "summary", at(t, answer, "summary"), "from last: 1 of 1 node")
	same(t, "told", []int{len(a.told()), len(b.told())}, []int{1, 0})
	a.set(func(n *fakeNode) { n.joins = true })
	answer = postJSON(t, url+"/api/q/act", `{"action":"rewind_channel","topic":"t","channel":"c","from":"last"}`).decoded(t)
	same(t, "after somebody else", at(t, answer, "summary"), "from last: 1 of 1 node (a: done a moment ago through another member)")
}
