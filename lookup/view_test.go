package lookup

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"qmq/internal/address"
	"qmq/protocol"
)

// joinWithViews connects a node that is elsewhere for some.
func (d *directory) joinWithViews(host string, views ...address.View) *nodeConn {
	d.t.Helper()
	n := d.dial()
	n.send(protocol.LookupMagic + introductionOf(host, views))
	if _, err := protocol.ReadLookupReply(n, 1<<20); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func introductionOf(host string, views []address.View) string {
	body, _ := json.Marshal(introduction{
		Identity: Identity{Hostname: "h", BroadcastAddress: host, TCPPort: 4150, HTTPPort: 4151, Version: "2.0.0"}, Views: views})
	return identifyWith(string(body))
}

// ask is what somebody at an address gets who calls the directory by a host.
func (d *directory) ask(method, target, from, host string) string {
	d.t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr, r.Host = from+":999", host
	answer := httptest.NewRecorder()
	d.http.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK && answer.Code != http.StatusNotFound {
		d.t.Fatalf("%s %s: %d %s", method, target, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// places are where the nodes of an answer are.
func places(t *testing.T, answer string) string {
	t.Helper()
	var a struct{ Producers []Identity }
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, id := range a.Producers {
		list = append(list, fmt.Sprint(id.address(), ",", id.HTTPPort))
	}
	return strings.Join(list, " ")
}

func TestDirectoryAnswersByWhereTheQuestionComesFrom(t *testing.T) {
	d := openDirectory(t)
	one := d.joinWithViews("qd1",
		address.View{From: "@127.0.0.1", Host: "127.0.0.1", TCPPort: 5150, HTTPPort: 5151},
		address.View{From: "10.0.0.0/8", Host: "one.example"},
		address.View{From: "10.1.0.0/16", Host: "never.example"}, // the first one counts
		address.View{From: "fd00::/8", Host: "fd00::1", TCPPort: 6150})
	one.tell("REGISTER t c")
	two := d.joinWithViews("qd2", address.View{From: "@127.0.0.1", Host: "127.0.0.1", TCPPort: 5250, HTTPPort: 5251})
	two.tell("REGISTER t c")
	d.join("stock").tell("REGISTER t c")

	for _, asker := range []struct{ from, host, want string }{
		{"172.18.0.5", "qlookupd1:4161", "qd1:4150,4151 qd2:4150,4151 stock:1,2"},
		{"172.18.0.1", "127.0.0.1:4161", "127.0.0.1:5150,5151 127.0.0.1:5250,5251 stock:1,2"},
		{"10.1.2.3", "lookup.example", "one.example:4150,4151 qd2:4150,4151 stock:1,2"},
		{"10.1.2.3", "127.0.0.1", "127.0.0.1:5150,5151 127.0.0.1:5250,5251 stock:1,2"},
		{"[fd00::77]", "lookup.example", "[fd00::1]:6150,4151 qd2:4150,4151 stock:1,2"},
	} {
		for _, question := range []string{"/lookup?topic=t", "/nodes"} {
			if got := places(t, d.ask("GET", question, asker.from, asker.host)); got != asker.want {
				t.Errorf("%s by %s of %s: %s, want %s", question, asker.from, asker.host, got, asker.want)
			}
		}
	}
	// A node that looks for itself finds itself, wherever it asks from.
	if got := places(t, d.ask("GET", "/nodes?node=qd1:4151", "10.1.2.3", "127.0.0.1")); got != "qd1:4150,4151" {
		t.Errorf("a node finds itself as %s", got)
	}
}

func TestNodesAreTombstonedAndNamedAsTheAskerKnowsThem(t *testing.T) {
	d := openDirectory(t)
	one := d.joinWithViews("qd1", address.View{From: "@127.0.0.1", Host: "127.0.0.1", TCPPort: 5150, HTTPPort: 5151})
	one.tell("REGISTER t")
	two := d.joinWithViews("qd2", address.View{From: "@127.0.0.1", Host: "127.0.0.1", TCPPort: 5250, HTTPPort: 5251})
	two.tell("REGISTER t")

	d.ask("POST", "/topic/tombstone?topic=t&node=127.0.0.1:5251", "172.18.0.5", "qlookupd1") // means nothing there
	if got := places(t, d.ask("GET", "/lookup?topic=t", "172.18.0.5", "qlookupd1")); got != "qd1:4150,4151 qd2:4150,4151" {
		t.Errorf("a name of elsewhere hides nodes: %s", got)
	}
	d.ask("POST", "/topic/tombstone?topic=t&node=127.0.0.1:5251", "172.18.0.1", "127.0.0.1")
	if got := places(t, d.ask("GET", "/lookup?topic=t", "172.18.0.5", "qlookupd1")); got != "qd1:4150,4151" {
		t.Errorf("after a tombstone for the second node: %s", got)
	}
	d.ask("POST", "/topic/tombstone?topic=t&node=qd1:4151", "172.18.0.1", "127.0.0.1")
	if got := places(t, d.ask("GET", "/lookup?topic=t", "172.18.0.1", "127.0.0.1")); got != "" {
		t.Errorf("after tombstones for both nodes: %s", got)
	}
	d.post("/topic/delete?topic=t")
	for host, want := range map[string]string{"127.0.0.1": `["127.0.0.1:5151","127.0.0.1:5251"]`, "qlookupd1": `["qd1:4151","qd2:4151"]`} {
		if got := d.ask("GET", "/lookup?topic=t", "172.18.0.1", host); !strings.Contains(got, want) {
			t.Errorf("who calls %s is told that the topic is still on %s, want %s", host, got, want)
		}
	}
}

func TestImpossibleViewsAreRefused(t *testing.T) {
	d := openDirectory(t)
	for _, views := range [][]address.View{
		{{From: "anywhere", Host: "a"}},
		{{From: "10.0.0.0/8", Host: "a/b"}},
		{{From: "10.0.0.0/8", Host: "a", TCPPort: 65536}},
		{{From: "10.0.0.0/8", Host: "a", HTTPPort: -1}},
		make([]address.View, address.MaxViews+1),
	} {
		n := d.dial()
		n.send(protocol.LookupMagic + introductionOf("a", views))
		reply, err := protocol.ReadLookupReply(n, 1<<20)
		if err != nil || !strings.HasPrefix(string(reply), "E_BAD_BODY IDENTIFY broadcast address for others: ") && !strings.Contains(string(reply), "broadcast addresses for others") {
			t.Errorf("%v: %s, %v", views[0], reply, err)
		}
	}
}
