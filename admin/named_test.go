package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"qmq/admin/cluster"
)

func TestScriptsFindNodesByTheAddressThatTheyAnnounce(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 3, aChannel("c", 1, 2, aClient("x"))))
	given := strings.Replace(a.address(), "127.0.0.1", "localhost", 1)
	_, base := startServer(t, Options{Nodes: []string{given}})
	topic := get(t, base+"/api/topics/t").decoded(t)
	same(t, "node of a topic", at(t, topic, "nodes", 0, "node"), a.address())
	same(t, "node of a channel", at(t, topic, "channels", 0, "nodes", 0, "node"), a.address())
	same(t, "node of a client", at(t, get(t, base+"/api/topics/t/c").decoded(t), "clients", 0, "node"), a.address())
	same(t, "counter", at(t, get(t, base+"/api/counter").decoded(t), "stats", "t:c:"+a.address(), "message_count"), 2)
	same(t, "the node itself", get(t, base+"/api/nodes/"+a.address()).status, 200)
}

func TestNodesAreListedByHostName(t *testing.T) {
	node := func(host string, port int) string {
		return fmt.Sprintf(`{"hostname":%q,"broadcast_address":"127.0.0.1","tcp_port":%d,"http_port":%d,"version":"1.3.0","topics":[],"tombstones":[]}`, host, port, port)
	}
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
		w.Write([]byte(`{"producers":[` + node("zoe", 1) + "," + node("adam", 3) + "," + node("kim", 2) + `]}`))
	}))
	defer d.Close()
	_, base := startServer(t, Options{Lookupds: []string{strings.TrimPrefix(d.URL, "http://")}})
	var hosts []any
	for _, n := range at(t, get(t, base+"/api/nodes").decoded(t), "nodes").([]any) {
		hosts = append(hosts, at(t, n, "hostname"))
	}
	same(t, "hosts", hosts, "[adam kim zoe]")
}

func TestWithoutDirectoriesNothingIsCreatedOrDeletedWhereThereIsNothing(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 3))
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	for _, order := range []string{`{"action":"create_channel","topic":"new","channel":"c"}`, `{"action":"delete_topic","topic":"new"}`, `{"action":"delete_channel","topic":"t","channel":"new"}`} {
		same(t, order, postJSON(t, base+"/api/q/act", order).status, 404)
	}
	same(t, "on a topic that there is", postJSON(t, base+"/api/q/act", `{"action":"create_channel","topic":"t","channel":"c"}`).status, 200)
	same(t, "told", a.told(), "[/channel/create?channel=c&topic=t]")
}

func TestTryingAgainWhereNothingIsAnyMoreIsNoSuccess(t *testing.T) {
	a, _, d := twoNodes(t)
	s, base := startServer(t, Options{Lookupds: []string{d.address()}})
	s.collector.updatesUntil(t, func(c *cluster.Cluster) bool {
		rows := c.TopicsView().Rows
		return len(rows) > 0 && rows[0].Topic == "t" && rows[0].Nodes == 2
	})
	order := func(target string) string {
		return `{"action":"empty_topic","topic":"t","only":{"kind":"node","target":"` + target + `"}}`
	}
	same(t, "a node that is gone", postJSON(t, base+"/api/q/act", order("gone:1")).status, 404)
	same(t, "one that is there", postJSON(t, base+"/api/q/act", order(a.address())).status, 200)
	same(t, "told", a.told(), "[/topic/empty?topic=t]")
}
