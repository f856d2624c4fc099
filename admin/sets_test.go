package admin

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// startMember is a node that is a member of a set of one.
func startMember(t *testing.T) *fakeNode {
	t.Helper()
	n := startNode(t, "a")
	n.stats["version"] = "2.0.0"
	n.set(func(n *fakeNode) {
		n.cluster = object{"state": "member", "cluster": "00000000000000aa", "number": 7, "member": "0000000000000001", "address": "a:4153", "version": "2.0.0",
			"members": []object{{"member": "0000000000000001", "address": "a:4153", "connected": true}},
			"shards":  []object{{"shard": 0, "role": "leader", "leader": "a:4153", "turn": "a:4153", "term": 2, "commit": 9, "applied": 9}}}
	})
	return n
}

func TestMembersAreAskedForTheirSetAndOthersAreNot(t *testing.T) {
	member, old := startMember(t), startNode(t, "b") // an nsqd
	_, url := startServer(t, Options{Nodes: []string{member.address(), old.address()}})
	v := get(t, url+"/api/q/sets").decoded(t)
	same(t, "sets", at(t, v, "bar", "sets"), 1)
	same(t, "set", at(t, v, "data", "sets", 0, "name"), "Set 7")
	same(t, "leads", at(t, v, "data", "sets", 0, "members", 0, "leads"), 1)
	same(t, "shard is led by", at(t, v, "data", "sets", 0, "shards", 0, "leader"), "a:4153")
	old.set(func(n *fakeNode) {
		if slices.Contains(n.paths, "/cluster") {
			t.Error("nsqd was asked for its set")
		}
	})
}

func TestNodeThatHasNoSetIsNoFault(t *testing.T) {
	n := startNode(t, "a")
	n.stats["version"] = "2.0.0"
	_, url := startServer(t, Options{Nodes: []string{n.address()}})
	v := get(t, url+"/api/q/sets").decoded(t)
	same(t, "sets", fmt.Sprint(at(t, v, "data", "sets"), at(t, v, "bar", "sets"), at(t, v, "bar", "answering")), "[] 0 1")
}

func TestSetIsChangedAtAMember(t *testing.T) {
	member := startMember(t)
	_, url := startServer(t, Options{Nodes: []string{member.address()}})
	for _, c := range []struct{ order, told, summary string }{
		{`{"action":"move_leader","set":"00000000000000aa","shard":0,"member":"a:4153"}`, "/cluster/move?shard=0&to=a%3A4153", "shard 0 to a:4153"},
		{`{"action":"balance_leaders","set":"00000000000000aa"}`, "/cluster/balance", "all shards"},
		{`{"action":"add_member","set":"00000000000000aa","member":"d:4153"}`, "/cluster/add?address=d%3A4153", "d:4153"},
		{`{"action":"remove_member","set":"00000000000000aa","member":"0000000000000001"}`, "/cluster/remove?member=0000000000000001", "0000000000000001"},
	} {
		answer := postJSON(t, url+"/api/q/act", c.order).decoded(t)
		same(t, c.order, fmt.Sprint(at(t, answer, "ok"), " ", at(t, answer, "summary")), "true "+c.summary)
		same(t, "told", member.told(), []string{c.told})
	}
	entries := at(t, get(t, url+"/api/q/activity").decoded(t), "data", "entries").([]any)
	same(t, "activity", fmt.Sprint(len(entries), " ", at(t, entries[0], "text")), "4 removed a member")
}

func TestChangesOfSetsThatCannotBe(t *testing.T) {
	member := startMember(t)
	_, url := startServer(t, Options{Nodes: []string{member.address()}})
	for order, status := range map[string]int{
		`{"action":"move_leader","shard":0,"member":"a:4153"}`:                                  http.StatusBadRequest,
		`{"action":"move_leader","set":"00000000000000aa","member":"a:4153"}`:                   http.StatusBadRequest,
		`{"action":"add_member","set":"00000000000000aa"}`:                                      http.StatusBadRequest,
		`{"action":"move_leader","set":"00000000000000bb","shard":0,"member":"a:4153"}`:         http.StatusNotFound,
		`{"action":"move_leader","set":"00000000000000aa","shard":5,"member":"a:4153"}`:         http.StatusNotFound,
		`{"action":"move_leader","set":"00000000000000aa","shard":0,"member":"elsewhere:4153"}`: http.StatusNotFound,
		`{"action":"remove_member","set":"00000000000000aa","member":"elsewhere:4153"}`:         http.StatusNotFound,
	} {
		if got := postJSON(t, url+"/api/q/act", order); got.status != status {
			t.Errorf("%s: %d %s, want %d", order, got.status, got.body, status)
		}
	}
	same(t, "told", member.told(), []string{})
	if got := send(t, "POST", url+"/api/q/act", `{"action":"balance_leaders","set":"00000000000000aa"}`); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("a form of another site was let through: %d", got.status)
	}
	member.set(func(n *fakeNode) { n.refuse = http.StatusConflict })
	answer := postJSON(t, url+"/api/q/act", `{"action":"balance_leaders","set":"00000000000000aa"}`).decoded(t)
	same(t, "refusal", fmt.Sprint(at(t, answer, "ok"), " ", at(t, answer, "results", 0, "error")), "false REFUSED")
}

func TestViewersDoNotChangeSets(t *testing.T) {
	member := startMember(t)
	_, url := startServer(t, Options{Nodes: []string{member.address()}, ACLHeader: "X-User", Admins: []string{"maria"}})
	order := `{"action":"balance_leaders","set":"00000000000000aa"}`
	if got := postJSON(t, url+"/api/q/act", order, "X-User", "jon"); got.status != http.StatusForbidden {
		t.Errorf("a viewer gets %d", got.status)
	}
	same(t, "told", member.told(), []string{})
	if got := postJSON(t, url+"/api/q/act", order, "X-User", "maria"); got.status != http.StatusOK {
		t.Errorf("an admin gets %d: %s", got.status, got.body)
	}
}
