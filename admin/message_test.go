package admin

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qmq/test/process"
)

// logNode is a qd with messages 10, 11, … whose bodies are m10, m11, …
func logNode(t *testing.T, name string, messages, second int) *fakeNode {
	n := startNode(t, name, aTopic("t", 1, aChannel("c", 7, 9)))
	look := func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		from, _ := strconv.Atoi(q.Get("from"))
		list, next := []object{}, 0
		all := []int{}
		for i := range messages {
			all = append(all, 10+i)
		}
		newest := q.Get("order") == "newest"
		if newest {
			slices.Reverse(all)
		}
		for _, seq := range all {
			if from != 0 && (newest && seq > from || !newest && seq < from) || !strings.Contains(fmt.Sprint("m", seq), q.Get("contains")) {
				continue
			}
			if len(list) == limit {
				next = seq
				break
			}
			body := base64.StdEncoding.EncodeToString(fmt.Append(nil, "m", seq))
			list = append(list, object{"id": fmt.Sprintf("%016x", seq), "seq": seq, "timestamp": (seq*10 + second) * 1_000_000_000, "size": 3, "state": "ready", "body": body})
		}
		answer := object{"messages": list, "total": messages, "first": 10, "fan_out": 12, "end": 10 + messages}
		if next != 0 {
			answer["next"] = next
		}
		answerJSON(w, answer)
	}
	n.set(func(n *fakeNode) {
		n.stats["version"] = "2.0.0"
		n.own = map[string]http.HandlerFunc{"/topic/peek": look, "/channel/peek": look,
			"/message/body": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "whole "+r.URL.Query().Get("id")) }}
	})
	return n
}

// leafThrough follows a look to its end and returns the bodies of each page.
func leafThrough(t *testing.T, base, query string) (list []string) {
	t.Helper()
	at := ""
	for range 20 {
		o := get(t, base+"/api/q/peek?topic=t&"+query+at).decoded(t)
		bodies := []string{}
		for _, m := range o["messages"].([]any) {
			text, _ := base64.StdEncoding.DecodeString(m.(object)["body"].(string))
			bodies = append(bodies, m.(object)["name"].(string)+string(text))
		}
		list, at = append(list, strings.Join(bodies, " ")), ""
		for _, n := range o["nodes"].([]any) {
			if next := n.(object)["next"].(string); next != "" {
				at += "&at=" + url.QueryEscape(n.(object)["node"].(string)+"|"+next)
			}
		}
		if o["more"] == false {
			return list
		}
	}
	t.Fatal("there is no end")
	return nil
}

func TestPagesOfMessagesGoOnWhereEachNodeWas(t *testing.T) {
	a, b := logNode(t, "a", 4, 0), logNode(t, "b", 3, 5)
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	for query, want := range map[string]string{
		"order=oldest&limit=3":                     "[am10 bm10 am11|bm11 am12 bm12|am13]",
		"order=newest&limit=3":                     "[am13 bm12 am12|bm11 am11 bm10|am10]",
		"channel=c&order=oldest&limit=2":           "[am10 bm10|am11 bm11|am12 bm12|am13]",
		"order=oldest&limit=100":                   "[am10 bm10 am11 bm11 am12 bm12 am13]",
		"contains=12&limit=1":                      "[am12|bm12]",
		"order=newest&from=11&limit=3":             "[bm11 am11 bm10|am10]",
		"order=oldest&limit=1&node=" + b.address(): "[bm10|bm11|bm12]",
	} {
		if got := "[" + strings.Join(leafThrough(t, base, query), "|") + "]"; got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	o := get(t, base+"/api/q/peek?topic=t&limit=100").decoded(t)
	same(t, "states", []any{at(t, o, "messages", 0, "state"), at(t, o, "messages", 6, "state")}, "[ready waiting]")
	for query, want := range map[string]int{"topic=nowhere": 404, "topic=t&order=up": 400, "topic=t&from=x": 400,
		"topic=t&since=5&order=newest": 400, "topic=t&since=5&from=5": 400, "topic=t&at=x": 400, "topic=t&limit=101": 400, "topic=t&contains=" + strings.Repeat("x", 257): 400} {
		same(t, query, get(t, base+"/api/q/peek?"+query).status, want)
	}
}

func TestOneMessageIsDownloadedAndActedOn(t *testing.T) {
	a := logNode(t, "a", 4, 0)
	_, base := startServer(t, Options{Nodes: []string{a.address()}, ACLHeader: "X-User", Admins: []string{"maria"}})
	whole := get(t, base+"/api/q/download?topic=t&node="+a.address()+"&id=000000000000000a")
	same(t, "whole", []any{whole.status, whole.body, whole.head.Get("Content-Disposition")}, `[200 whole 000000000000000a attachment; filename="message-000000000000000a.bin"]`)
	order := func(action, more string) string {
		return fmt.Sprintf(`{"action":%q,"topic":"t","channel":"c","node":%q,"id":"000000000000000a"%s}`, action, a.address(), more)
	}
	same(t, "viewer", postJSON(t, base+"/api/q/message", order("finish", ""), "X-User", "jon").status, 403)
	as := []string{"X-User", "maria"}
	for _, o := range []string{order("requeue", `,"to":"ignored"`), order("finish", ""), order("republish", `,"to":"u","finish":true`)} {
		same(t, o, postJSON(t, base+"/api/q/message", o, as...).decoded(t)["ok"], true)
	}
	same(t, "told", a.told(), "[/message/requeue?channel=c&id=000000000000000a&topic=t /message/finish?channel=c&id=000000000000000a&topic=t "+
		"/message/republish?channel=c&finish=true&id=000000000000000a&to=u&topic=t]")
	a.set(func(n *fakeNode) { n.refuse = 404 })
	same(t, "gone", postJSON(t, base+"/api/q/message", order("finish", ""), as...).decoded(t)["error"], "the channel does not hold this message any more")
	for _, o := range []string{order("explode", ""), order("republish", ""), order("republish", `,"to":"no good"`)} {
		same(t, o, postJSON(t, base+"/api/q/message", o, as...).status, 400)
	}
}

func TestLinesArePublishedAsMessages(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	var body string
	a.set(func(n *fakeNode) {
		n.own = map[string]http.HandlerFunc{"/mpub": func(w http.ResponseWriter, r *http.Request) { b, _ := io.ReadAll(r.Body); body = string(b) }}
	})
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	o := postJSON(t, base+"/api/q/publish", `{"topic":"t","node":"`+a.address()+`","body":"one\r\n\ntwo\n","lines":true}`).decoded(t)
	same(t, "outcome", []any{o["ok"], o["messages"], o["bytes"]}, "[true 2 6]")
	same(t, "body", body, "\x00\x00\x00\x02\x00\x00\x00\x03one\x00\x00\x00\x03two")
	same(t, "activity", at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries", 0, "result"), "a, 2 messages, 6 B")
	for _, more := range []string{`"body":"\n\n","lines":true`, `"body":"x","lines":true,"defer_ms":5`, `"body":"` + strings.Repeat(`x\n`, 10_001) + `","lines":true`} {
		same(t, "refused", postJSON(t, base+"/api/q/publish", `{"topic":"t","node":"`+a.address()+`",`+more+`}`).status, 400)
	}
}

func TestManyAreDoneOneAfterTheOtherAndToldPerNode(t *testing.T) {
	a, b := startNode(t, "a", aTopic("t", 1, aChannel("c", 7, 9)), aTopic("u", 1)), startNode(t, "b", aTopic("t", 1, aChannel("c", 5, 9)))
	_, base := startServer(t, Options{Nodes: []string{a.address(), b.address()}})
	get(t, base+"/api/q/overview")
	order := `{"verb":"empty","targets":[{"topic":"t","channel":"c"},{"topic":"u"},{"topic":"nowhere"}]}`
	id := postJSON(t, base+"/api/q/bulk", order).decoded(t)["id"]
	var j object
	process.Eventually(t, "it ends", func() bool {
		j = get(t, fmt.Sprintf("%s/api/q/job?id=%v", base, id)).decoded(t)
		return j["ended"].(float64) > 0
	})
	same(t, "job", []any{j["done"], j["of"], j["failed"], j["error"], j["text"]}, "[3 3 1 No node has the topic nowhere. Empty 3 channels]")
	same(t, "a", []any{at(t, j, "nodes", 0, "name"), at(t, j, "nodes", 0, "done"), at(t, j, "nodes", 0, "messages")}, "[a 2 12]")
	same(t, "b", []any{at(t, j, "nodes", 1, "name"), at(t, j, "nodes", 1, "done"), at(t, j, "nodes", 1, "messages")}, "[b 1 10]")
	same(t, "told", []any{a.told(), b.told()}, "[[/channel/empty?channel=c&topic=t /topic/empty?topic=u] [/channel/empty?channel=c&topic=t]]")
	entry := at(t, get(t, base+"/api/q/activity").decoded(t), "data", "entries", 0).(object)
	same(t, "activity", []any{entry["text"], entry["result"], entry["level"]}, "[emptied many 3 channels, 22 messages; 1 failed: No node has the topic nowhere. warn]")
	for _, o := range []string{`{"verb":"explode","targets":[{"topic":"t"}]}`, `{"verb":"empty","targets":[]}`, `{"verb":"empty","targets":[{"topic":"no good"}]}`} {
		same(t, o, postJSON(t, base+"/api/q/bulk", o).status, 400)
	}
	same(t, "no such job", get(t, base+"/api/q/job?id=99").status, 404)
}

func TestJobIsStopped(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1), aTopic("u", 1))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	get(t, base+"/api/q/overview")
	hang := make(chan struct{})
	a.set(func(n *fakeNode) { n.hang = hang })
	id := postJSON(t, base+"/api/q/bulk", `{"verb":"empty","targets":[{"topic":"t"},{"topic":"u"}]}`).decoded(t)["id"]
	postJSON(t, fmt.Sprintf("%s/api/q/job_stop?id=%v", base, id), "")
	close(hang)
	process.Eventually(t, "it ends", func() bool {
		j := get(t, fmt.Sprintf("%s/api/q/job?id=%v", base, id)).decoded(t)
		return j["ended"].(float64) > 0 && j["stopped"] == true && j["done"].(float64) < 2
	})
}

func TestBacklogIsMovedStepByStep(t *testing.T) {
	a := logNode(t, "a", 4, 0)
	left := 7
	a.set(func(n *fakeNode) {
		n.own["/channel/move"] = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "channel=c&to=u&topic=t&until=14" {
				t.Errorf("asked %s", r.URL.RawQuery)
			}
			moved := min(3, left)
			left -= moved
			answerJSON(w, object{"moved": moved, "left": left})
		}
	})
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	get(t, base+"/api/q/overview")
	order := `{"topic":"t","channel":"c","to":"u"}`
	id := postJSON(t, base+"/api/q/move", order).decoded(t)["id"]
	process.Eventually(t, "it is moved", func() bool {
		j := get(t, fmt.Sprintf("%s/api/q/job?id=%v", base, id)).decoded(t)
		return j["ended"].(float64) > 0 && j["done"].(float64) == 7 && j["error"] == "" && at(t, j, "nodes", 0, "messages").(float64) == 7
	})
	same(t, "the same topic", postJSON(t, base+"/api/q/move", `{"topic":"t","channel":"c","to":"t"}`).status, 400)
	same(t, "no such channel", postJSON(t, base+"/api/q/move", `{"topic":"t","channel":"x","to":"u"}`).status, 404)
	a.set(func(n *fakeNode) { n.stats["topics"] = []object{aTopic("t", 1, aChannel("c", 7, 9, aClient("x")))} })
	process.Eventually(t, "a channel with consumers is refused", func() bool { return postJSON(t, base+"/api/q/move", order).status == 409 })
}

func TestConnectionsAreShownAndClosed(t *testing.T) {
	client := aClient("x")
	client["pub_counts"] = []object{{"topic": "t", "count": 5}, {"topic": "u", "count": 6}}
	a := startNode(t, "a", aTopic("t", 1, aChannel("c", 7, 9, aClient("y"))))
	a.set(func(n *fakeNode) { n.stats["producers"] = []object{client} })
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	o := get(t, base+"/api/q/connections?node="+a.address()).decoded(t)
	var rows []string
	for _, r := range o["rows"].([]any) {
		r := r.(object)
		rows = append(rows, fmt.Sprint(r["id"], " ", r["topic"], "/", r["channel"], " ", r["messages"], " ", r["tls"], " ", r["compression"]))
	}
	slices.Sort(rows)
	same(t, "of a node", rows, "[x t/ 5 TLS 1.3 snappy x u/ 6 TLS 1.3 snappy y t/c 7 TLS 1.3 snappy]")
	same(t, "of a topic", len(at(t, get(t, base+"/api/q/connections?topic=t").decoded(t), "rows").([]any)), 2)
	same(t, "of nothing", get(t, base+"/api/q/connections?topic=nowhere").status, 404)
	order := `{"node":"` + a.address() + `","address":"10.0.0.1:5"}`
	same(t, "closed", postJSON(t, base+"/api/q/close_client", order).decoded(t)["ok"], true)
	same(t, "told", a.told(), "[/client/close?remote_address=10.0.0.1%3A5]")
	same(t, "nobody", postJSON(t, base+"/api/q/close_client", `{"node":"`+a.address()+`"}`).status, 400)
}

func TestSettingsOfANodeAreShownAndChanged(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	level := "info"
	a.set(func(n *fakeNode) {
		n.own = map[string]http.HandlerFunc{"/config/log_level": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				b, _ := io.ReadAll(r.Body)
				level = string(b)
			}
			io.WriteString(w, level)
		}}
		for _, o := range nodeOptions {
			if o.key != "log_level" {
				n.own["/config/"+o.key] = func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(400)
					io.WriteString(w, `{"message":"INVALID_OPTION"}`)
				}
			}
		}
	})
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	o := get(t, base+"/api/q/settings?node="+a.address()).decoded(t)
	same(t, "settings", o["options"], "[map[changeable:true key:log_level value:info]]")
	same(t, "changed", postJSON(t, base+"/api/q/setting", `{"node":"`+a.address()+`","key":"log_level","value":"debug"}`).decoded(t)["ok"], true)
	same(t, "level", level, "debug")
	same(t, "not that one", postJSON(t, base+"/api/q/setting", `{"node":"`+a.address()+`","key":"data_path","value":"/"}`).status, 400)
}
