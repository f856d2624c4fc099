package semantics

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"qmq/test/process"
)

// reply is an HTTP answer.
type reply struct {
	status int
	body   string
	header http.Header
	length int64
}

// tryCall sends a request. It may be used by any goroutine.
func (n *node) tryCall(method, target, body string) (reply, error) {
	return tryCall(n.client, method, n.web+target, body)
}

func tryCall(client *http.Client, method, url, body string) (reply, error) {
	q, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	r, err := client.Do(q)
	if err != nil {
		return reply{}, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return reply{r.StatusCode, string(b), r.Header, r.ContentLength}, err
}

func (n *node) call(method, target, body string) reply {
	n.t.Helper()
	r, err := n.tryCall(method, target, body)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// must calls and wants success.
func (n *node) must(method, target, body string) string {
	n.t.Helper()
	r := n.call(method, target, body)
	if r.status != http.StatusOK {
		n.t.Fatalf("%s %s: %d %s", method, target, r.status, r.body)
	}
	return r.body
}

// do calls a route of the topology.
func (n *node) do(route, topic, channel string) {
	n.t.Helper()
	q := url.Values{"topic": {topic}}
	if channel != "" {
		q.Set("channel", channel)
	}
	if n.set != nil && route == "/topic/delete" {
		q.Set("everywhere", "true") // at one member alone it is hidden
	}
	n.must("POST", route+"?"+q.Encode(), "")
}

// The answer to /stats, as far as the tests look at it.
type (
	statsAnswer struct {
		Health    string        `json:"health"`
		Topics    []topicStats  `json:"topics"`
		Producers []clientStats `json:"producers"`
		Damage    any           `json:"damage"`
	}

	topicStats struct {
		Name         string         `json:"topic_name"`
		Channels     []channelStats `json:"channels"`
		Depth        int            `json:"depth"`
		BackendDepth int            `json:"backend_depth"`
		MessageCount int            `json:"message_count"`
		MessageBytes int            `json:"message_bytes"`
		Paused       bool           `json:"paused"`
	}

	channelStats struct {
		Name          string        `json:"channel_name"`
		Depth         int           `json:"depth"`
		BackendDepth  int           `json:"backend_depth"`
		InFlightCount int           `json:"in_flight_count"`
		DeferredCount int           `json:"deferred_count"`
		MessageCount  int           `json:"message_count"`
		RequeueCount  int           `json:"requeue_count"`
		TimeoutCount  int           `json:"timeout_count"`
		ClientCount   int           `json:"client_count"`
		Clients       []clientStats `json:"clients"`
		Paused        bool          `json:"paused"`
	}

	clientStats struct {
		ClientID      string `json:"client_id"`
		Hostname      string `json:"hostname"`
		UserAgent     string `json:"user_agent"`
		Version       string `json:"version"`
		RemoteAddress string `json:"remote_address"`
		State         int    `json:"state"`
		ReadyCount    int    `json:"ready_count"`
		InFlightCount int    `json:"in_flight_count"`
		MessageCount  int    `json:"message_count"`
		FinishCount   int    `json:"finish_count"`
		RequeueCount  int    `json:"requeue_count"`
	}
)

// counts are the three places where a channel's messages can be.
type counts struct{ depth, inFlight, deferred int }

func (s channelStats) counts() counts { return counts{s.Depth, s.InFlightCount, s.DeferredCount} }

func parseStats(t *testing.T, text string) (s statsAnswer) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// topic is a topic as /stats shows it.
func (n *node) topic(name string) topicStats {
	n.t.Helper()
	s, ok := n.findTopic(name)
	if !ok {
		n.t.Fatalf("there is no topic %s", name)
	}
	return s
}

// findTopic is topic, if it is there.
func (n *node) findTopic(name string) (s topicStats, ok bool) {
	n.t.Helper()
	all := parseStats(n.t, n.must("GET", "/stats?format=json&include_mem=false&topic="+url.QueryEscape(name), "")).Topics
	if len(all) != 1 {
		return s, false
	}
	if n.set != nil && n.number == 0 {
		return n.set.add(all[0])
	}
	return all[0], true
}

// channel is a channel as /stats shows it.
func (n *node) channel(topic, channel string) channelStats {
	n.t.Helper()
	for _, c := range n.topic(topic).Channels {
		if c.Name == channel {
			return c
		}
	}
	n.t.Fatalf("no channel %s of topic %s", channel, topic)
	return channelStats{}
}

// wantCounts waits until a channel's messages are where they should be: what
// a consumer sends takes its time.
func (n *node) wantCounts(topic, channel string, want counts) {
	n.t.Helper()
	var got counts
	defer func() {
		if got != want {
			n.t.Logf("%s/%s was at %+v, want %+v", topic, channel, got, want)
		}
	}()
	process.Eventually(n.t, "the channel's counts", func() bool {
		got = n.channel(topic, channel).counts()
		return got == want
	})
}
