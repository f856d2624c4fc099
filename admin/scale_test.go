package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"qmq/admin/cluster"
)

// manyNodes are simulated nodes, each with the same topics and three
// channels on each. Their figures move with each question.
func manyNodes(tb testing.TB, nodes, topics int) (addresses []string) {
	tb.Helper()
	var text bytes.Buffer
	text.WriteString(`{"version":"1.3.0","health":"OK","start_time":1,"topics":[`)
	for i := range topics {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"topic_name":"topic.number.%d","channels":[`, i)
		for j := range 3 {
			if j > 0 {
				text.WriteByte(',')
			}
			fmt.Fprintf(&text, `{"channel_name":"channel%d","depth":%d,"backend_depth":0,"in_flight_count":12,"deferred_count":0,"message_count":1%%[1]09d,"requeue_count":3,"timeout_count":4,"client_count":2,"clients":null,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}`, j, i%7)
		}
		text.WriteString(`],"depth":0,"backend_depth":0,"message_count":1%[1]09d,"message_bytes":1%[1]09d00,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}`)
	}
	text.WriteString(`],"producers":null}`)
	template := text.String()
	began := time.Now()
	for i := range nodes {
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/info" {
				json.NewEncoder(w).Encode(object{"version": "1.3.0", "broadcast_address": "127.0.0.1", "hostname": fmt.Sprintf("node-%d", i), "http_port": 10_000 + i})
				return
			}
			counter := fmt.Sprintf("%09d", time.Since(began).Milliseconds())
			w.Write([]byte(strings.ReplaceAll(template, "%[1]09d", counter)))
		}))
		tb.Cleanup(node.Close)
		addresses = append(addresses, strings.TrimPrefix(node.URL, "http://"))
	}
	return addresses
}

// refresh asks all nodes once and adds up, and returns how long that took.
func (c *collector) refresh() time.Duration {
	start := time.Now()
	c.ask(start)
	<-c.answered
	c.update(time.Now())
	return time.Since(start)
}

func testCollector(addresses []string, history int) *collector {
	up := newUpstream(&Options{Nodes: addresses, ConnectTimeout: time.Minute, RequestTimeout: time.Minute})
	return newCollector(up, nil, history, nil)
}

func TestManyNodesAndTopicsAddUp(t *testing.T) {
	c := testCollector(manyNodes(t, 10, 100), 8<<20)
	for range 3 {
		c.refresh()
	}
	c.read(func(k *cluster.Cluster) {
		v, channels := k.Overview().Totals, int64(0)
		for _, n := range k.NodesView().Nodes {
			channels += n.Channels
		}
		same(t, "topics", v.Topics, 100)
		same(t, "channels", channels, 10*100*3)
		same(t, "in flight", v.InFlight, 10*100*3*12)
		if v.PubRate <= 0 {
			t.Errorf("published %v/s", v.PubRate)
		}
		same(t, "nodes that were not asked", len(v.Without), 0)
	})
	c.stopQuestions()
}

// stopQuestions ends a collector that was never started.
func (c *collector) stopQuestions() {
	c.cancel()
	c.questions.Wait()
}

// BenchmarkRefresh50Nodes1000Topics3Channels is one round of questions to a
// large cluster: its nodes' work of sending is in it as well.
func BenchmarkRefresh50Nodes1000Topics3Channels(b *testing.B) {
	c := testCollector(manyNodes(b, 50, 1000), defaultHistoryBytes)
	defer c.stopQuestions()
	c.refresh()
	longest := time.Duration(0)
	for b.Loop() {
		longest = max(longest, c.refresh())
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB-heap")
	b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
}
