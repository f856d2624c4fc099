package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// settingsNode is a qd whose topic t and channel c have settings: what patterns say, and
// what was set. It counts the changes.
type settingsNode struct {
	*fakeNode
	mu       sync.Mutex // guards what follows
	set      map[string]json.RawMessage
	patterns map[string]string
	changes  int
}

func startSettingsNode(t *testing.T, name, role string, inForce string, patterns map[string]string) *settingsNode {
	topic := aTopic("t", 1, aChannel("c", 7, 9))
	if role != "" {
		topic["replica"] = object{"role": role, "shard": 3, "leader": "a:4153", "term": 2, "applied": 9, "lag": 0}
	}
	n := &settingsNode{fakeNode: startNode(t, name, topic), set: map[string]json.RawMessage{}, patterns: patterns}
	serve := func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if r.Method == http.MethodPut {
			var change map[string]json.RawMessage
			json.NewDecoder(r.Body).Decode(&change)
			if string(change["max_age"]) == `"soon"` {
				w.WriteHeader(400)
				answerJSON(w, object{"message": "INVALID_CONFIG", "why": `max_age must be a duration, not "soon"; in force is "1h"`})
				return
			}
			n.changes++
			for key, value := range change {
				if n.set[key] = value; string(value) == "null" {
					delete(n.set, key)
				}
			}
		}
		config := map[string]json.RawMessage{"max_age": json.RawMessage(inForce), "max_bytes": json.RawMessage("0")}
		for key, value := range n.set {
			config[key] = value
		}
		answerJSON(w, object{"config": config, "set": n.set, "patterns": n.patterns,
			"settings": []object{{"name": "max_bytes", "allowed": "bytes"}, {"name": "max_age", "allowed": "a duration"}, {"name": "sync", "allowed": "a word"}}})
	}
	n.fakeNode.set(func(f *fakeNode) {
		f.stats["version"] = "2.0.0"
		f.own = map[string]http.HandlerFunc{"/topic/config": serve, "/channel/config": serve}
	})
	return n
}

// changed is how often it was changed.
func (n *settingsNode) changed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changes
}

func TestSettingsTellWhereTheyComeFromAndWhichNodesDiffer(t *testing.T) {
	a := startSettingsNode(t, "a", "", `"1h"`, map[string]string{"max_age": "t*"})
	b := startSettingsNode(t, "b", "", `"1h"`, map[string]string{"max_age": "t*"})
	c := startSettingsNode(t, "c", "", `"2h"`, nil)
	stock := startNode(t, "d", aTopic("t", 1, aChannel("c", 7, 9)))
	_, url := startServer(t, Options{Nodes: []string{a.address(), b.address(), c.address(), stock.address()}})
	for _, of := range []string{"topic=t", "topic=t&channel=c"} {
		v := get(t, url+"/api/q/config?"+of).decoded(t)
		var said []string
		for _, row := range at(t, v, "settings").([]any) {
			for _, value := range at(t, row, "values").([]any) {
				o := value.(object)
				said = append(said, fmt.Sprint(at(t, row, "name"), " ", o["value"], " ", o["from"], " ", o["pattern"], " ", o["nodes"]))
			}
		}
		same(t, of, strings.Join(said, "; "), "max_bytes 0 default <nil> [a b c]; max_age 1h pattern t* [a b]; max_age 2h default <nil> [c]")
		kind := map[bool]string{true: "channels", false: "topics"}[strings.Contains(of, "channel")]
		same(t, "nsqd", at(t, v, "nodes", 3, "error"), "nsqd 1.3.0 has no settings of "+kind)
	}
	same(t, "no such topic", get(t, url+"/api/q/config?topic=u").status, 404)
}

func TestSettingsAreChangedOnAllNodesAndEachSaysHow(t *testing.T) {
	a, b := startSettingsNode(t, "a", "", `"1h"`, nil), startSettingsNode(t, "b", "", `"1h"`, nil)
	stock := startNode(t, "d", aTopic("t", 1, aChannel("c", 7, 9)), aTopic("old", 1))
	_, url := startServer(t, Options{Nodes: []string{a.address(), b.address(), stock.address()}})
	get(t, url+"/api/q/overview")
	answer := postJSON(t, url+"/api/q/act", `{"action":"configure_channel","topic":"t","channel":"c","settings":{"max_age":"2h","max_bytes":null}}`).decoded(t)
	same(t, "summary", at(t, answer, "summary"), `max_age = "2h", max_bytes reset: 2 of 2 nodes`)
	if a.changed() != 1 || b.changed() != 1 || string(a.set["max_age"]) != `"2h"` {
		t.Errorf("a was changed %d times, b %d times", a.changed(), b.changed())
	}
	answer = postJSON(t, url+"/api/q/act", `{"action":"configure_topic","topic":"t","settings":{"max_age":"soon"},"only":{"kind":"node","target":"`+at(t, answer, "results", 0, "target").(string)+`"}}`).decoded(t)
	same(t, "results", len(at(t, answer, "results").([]any)), 1)
	same(t, "refusal", at(t, answer, "results", 0, "error"), `max_age must be a duration, not "soon"; in force is "1h"`)
	stock.set(func(n *fakeNode) {
		if slices.Contains(n.paths, "/topic/config") || slices.Contains(n.paths, "/channel/config") {
			t.Error("nsqd was asked for settings")
		}
	})
	entries := at(t, get(t, url+"/api/q/activity").decoded(t), "data", "entries").([]any)
	same(t, "activity", fmt.Sprint(at(t, entries[1], "text"), " ", at(t, entries[1], "channel"), ": ", at(t, entries[1], "result")),
		`changed settings c: max_age = "2h", max_bytes reset: 2 of 2 nodes`)
	for order, why := range map[string]string{
		`{"action":"configure_topic","topic":"t"}`:                                       "What is to be set is missing.",
		`{"action":"configure_topic","topic":"old","settings":{"max_age":"1h"}}`:         "nsqd 1.3.0 has no settings of topics.",
		`{"action":"configure_topic","topic":"t","settings":{}}`:                         "What is to be set is missing.",
		`{"action":"configure_channel","topic":"t","settings":{"rate":1}}`:               `"" is no valid name of a channel: up to 64 letters, digits, dots, dashes and underscores.`,
		`{"action":"configure_channel","topic":"t","channel":"u","settings":{"rate":1}}`: "No node has the channel t / u.",
		`{"action":"configure_topic","topic":"t/../x","settings":{"rate":1}}`:            `"t/../x" is no valid name of a topic: up to 64 letters, digits, dots, dashes and underscores.`,
		`{"action":"configure_topic","topic":"nowhere","settings":{"max_age":"1h"}}`:     "No node has the topic nowhere.",
	} {
		same(t, order, at(t, postJSON(t, url+"/api/q/act", order).decoded(t), "text"), why)
	}
}

func TestSettingsOfAReplicatedTopicAreChangedOnce(t *testing.T) {
	a, b := startSettingsNode(t, "a", "follower", `"1h"`, nil), startSettingsNode(t, "b", "leader", `"1h"`, nil)
	own := startSettingsNode(t, "c", "", `"1h"`, nil) // a topic of the same name that it has for itself
	_, url := startServer(t, Options{Nodes: []string{a.address(), b.address(), own.address()}})
	get(t, url+"/api/q/overview")
	answer := postJSON(t, url+"/api/q/act", `{"action":"configure_topic","topic":"t","settings":{"max_age":"2h"}}`).decoded(t)
	same(t, "summary", at(t, answer, "summary"), `max_age = "2h": 2 of 2 nodes`)
	same(t, "changes", []int{a.changed(), b.changed(), own.changed()}, []int{0, 1, 1})
	var doors []any
	for _, n := range at(t, get(t, url+"/api/q/config?topic=t").decoded(t), "nodes").([]any) {
		doors = append(doors, at(t, n, "door"))
	}
	same(t, "doors", doors, []bool{false, true, true})
}
