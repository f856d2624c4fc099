package lookup

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// answers is a directory that answers requests, "METHOD path?query", with
// texts; to any other it says 404.
func answers(t *testing.T, texts map[string]string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
		text, ok := texts[r.Method+" "+r.URL.String()]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			text = `{"message":"TOPIC_NOT_FOUND"}`
		}
		w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// unreachable is an address that refuses connections.
func unreachable(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

func newTestClient(t *testing.T) *Client {
	c := NewClient(ClientOptions{ConnectTimeout: testTimeout, RequestTimeout: testTimeout})
	t.Cleanup(c.Close)
	return c
}

func producerJSON(remote, host string, port string) string {
	return `{"remote_address":"` + remote + `","hostname":"h","broadcast_address":"` + host + `","tcp_port":` + port + `,"http_port":2,"version":"1.3.0"`
}

func TestDirectoriesThatDisagreeAreMerged(t *testing.T) {
	one := answers(t, map[string]string{
		"GET /topics":              `{"topics":["b","a"]}`,
		"GET /channels?topic=t%23": `{"channels":["x","y"]}`,
		"GET /lookup?topic=t":      `{"channels":["x"],"producers":[` + producerJSON("r1", "p", "1") + `},` + producerJSON("r2", "o", "1") + `}]}`,
		"GET /nodes": `{"producers":[` + producerJSON("r1", "p", "1") + `,"tombstones":[false,true],"topics":["t","s"]},` +
			producerJSON("r8", "p", "10") + `,"tombstones":[],"topics":[]},` +
			producerJSON("r9", "p", "2") + `,"tombstones":[],"topics":[]}]}`,
	})
	two := answers(t, map[string]string{
		"GET /topics":              `{"topics":["b","c"]}`,
		"GET /channels?topic=t%23": `{"channels":["z","y"]}`,
		"GET /nodes":               `{"producers":[` + producerJSON("r3", "p", "1") + `,"tombstones":[true],"topics":["t","u"]}]}`,
	})
	addresses := []string{one, "http://" + two}
	c := newTestClient(t)
	if topics, err := c.Topics(t.Context(), addresses); err != nil || !slices.Equal(topics, []string{"a", "b", "c"}) {
		t.Errorf("topics %q, %v", topics, err)
	}
	if channels, err := c.Channels(t.Context(), addresses, "t#"); err != nil || !slices.Equal(channels, []string{"x", "y", "z"}) {
		t.Errorf("channels %q, %v", channels, err)
	}
	found, err := c.Lookup(t.Context(), addresses, "t") // which the other one does not know
	if err != nil || !slices.Equal(found.Channels, []string{"x"}) || len(found.Producers) != 2 ||
		found.Producers[0].BroadcastAddress != "o" || found.Producers[1].RemoteAddress != "r1" {
		t.Errorf("found %+v, %v", found, err)
	}
	id := Identity{Hostname: "h", BroadcastAddress: "p", TCPPort: 1, HTTPPort: 2, Version: "1.3.0"}
	other, third := id, id
	other.TCPPort, third.TCPPort = 2, 10
	want := []ClusterNode{
		{id, "", []Sighting{{one, "r1", "h", false}, {addresses[1], "r3", "h", false}}, []NodeTopic{{"s", true}, {"t", true}, {"u", false}}},
		{other, "", []Sighting{{one, "r9", "h", false}}, nil},
		{third, "", []Sighting{{one, "r8", "h", false}}, nil},
	}
	if nodes, err := c.Nodes(t.Context(), addresses); err != nil || !reflect.DeepEqual(nodes, want) {
		t.Errorf("nodes\n%+v, %v, want\n%+v", nodes, err, want)
	}
}

func TestWhatSomeDirectoriesAnswerComesWithTheErrorsOfTheOthers(t *testing.T) {
	good := answers(t, map[string]string{"GET /topics": `{"topics":["t"]}`})
	bad, nonsense := unreachable(t), answers(t, map[string]string{"GET /topics": `{"topics":5}`})
	c := newTestClient(t)
	topics, err := c.Topics(t.Context(), []string{bad, good, nonsense})
	var partial *PartialError
	if !errors.As(err, &partial) || partial.All() || partial.Asked != 3 || !slices.Equal(topics, []string{"t"}) {
		t.Fatalf("%q, %v", topics, err)
	}
	if len(partial.Failed) != 2 || partial.Failed[0].Address != bad || partial.Failed[1].Address != nonsense {
		t.Errorf("failed: %v", partial.Failed)
	}
	var refused *net.OpError
	if !errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "2 of 3 gave no answer: "+bad+": ") {
		t.Error(err)
	}
	topics, err = c.Topics(t.Context(), []string{bad})
	if !errors.As(err, &partial) || !partial.All() || len(topics) != 0 {
		t.Errorf("%q, %v", topics, err)
	}
	if topics, err := c.Topics(t.Context(), nil); err != nil || len(topics) != 0 {
		t.Errorf("%q, %v", topics, err)
	}
}

func TestDirectoryThatHangsHoldsBackOnlyItself(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hangs.Close()
	defer close(release)
	good := answers(t, map[string]string{"GET /topics": `{"topics":["t"]}`})
	c := newTestClient(t)
	for patience := 100 * time.Millisecond; ; patience *= 5 { // a busy machine needs more for the good one
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		topics, err := c.Topics(ctx, []string{hangs.URL, good})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%q, %v", topics, err)
		}
		if slices.Equal(topics, []string{"t"}) {
			return
		}
		if patience > testTimeout {
			t.Fatalf("%q, %v after %s", topics, err, patience)
		}
	}
}

func TestChangesReachARealDirectory(t *testing.T) {
	d := openDirectory(t)
	addresses := []string{d.httpServer()}
	n := d.join("host")
	n.tell("REGISTER t")
	c := newTestClient(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(c.CreateTopic(t.Context(), addresses, "u#ephemeral"))
	do(c.CreateChannel(t.Context(), addresses, "v", "c"))
	do(c.CreateChannel(t.Context(), addresses, "v", "d"))
	do(c.DeleteChannel(t.Context(), addresses, "v", "d"))
	do(c.DeleteChannel(t.Context(), addresses, "v", "unknown"))
	do(c.CreateTopic(t.Context(), addresses, "gone"))
	do(c.DeleteTopic(t.Context(), addresses, "gone"))
	if topics, err := c.Topics(t.Context(), addresses); err != nil || !slices.Equal(topics, []string{"t", "u#ephemeral", "v"}) {
		t.Errorf("%q, %v", topics, err)
	}
	if found, err := c.Lookup(t.Context(), addresses, "t"); err != nil || len(found.Producers) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := c.Lookup(t.Context(), addresses, "v"); err != nil || !slices.Equal(found.Channels, []string{"c"}) {
		t.Errorf("%+v, %v", found, err)
	}
	do(c.Tombstone(t.Context(), addresses, "t", "host:2"))
	if found, err := c.Lookup(t.Context(), addresses, "t"); err != nil || len(found.Producers) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	nodes, err := c.Nodes(t.Context(), addresses)
	if err != nil || len(nodes) != 1 || !slices.Equal(nodes[0].Topics, []NodeTopic{{"t", true}}) {
		t.Errorf("%+v, %v", nodes, err)
	}
	var partial *PartialError
	if err := c.CreateTopic(t.Context(), addresses, "not valid"); !errors.As(err, &partial) || !strings.Contains(err.Error(), "INVALID_ARG_TOPIC") {
		t.Error(err)
	}
}

// TestNodesThatMustNotBeAskedAreMarkedOrLeftOut: a directory lists what it was
// told, and an address may hold anything.
func TestNodesThatMustNotBeAskedAreMarkedOrLeftOut(t *testing.T) {
	bad := producerJSON("r1", "127.0.0.9/any/path?q=1&x=", "1")
	one := answers(t, map[string]string{
		"GET /lookup?topic=t": `{"channels":[],"producers":[` + bad + `},` + producerJSON("r2", "good", "1") + `}]}`,
		"GET /nodes":          `{"producers":[` + bad + `,"tombstones":[],"topics":[]},` + producerJSON("r2", "[::1]", "1") + `,"tombstones":[],"topics":[]}]}`,
	})
	c := newTestClient(t)
	if found, err := c.Lookup(t.Context(), []string{one}, "t"); err != nil || len(found.Producers) != 1 || found.Producers[0].BroadcastAddress != "good" {
		t.Errorf("found %+v, %v", found, err)
	}
	nodes, err := c.Nodes(t.Context(), []string{one})
	if err != nil || len(nodes) != 2 || nodes[0].Impossible != `invalid broadcast address "127.0.0.9/any/path?q=1&x="` || nodes[1].Impossible != "" {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestTombstoneIsSetHoweverANodeHasWrittenItsAddress(t *testing.T) {
	for node, want := range map[string]string{
		"a:2":     "node=a%3A2&topic=t",
		"[::1]:2": "node=%3A%3A1%3A2&topic=t node=%5B%3A%3A1%5D%3A2&topic=t",
	} {
		var asked []string
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.URL.RawQuery) }))
		if err := newTestClient(t).Tombstone(t.Context(), []string{strings.TrimPrefix(s.URL, "http://")}, "t", node); err != nil {
			t.Error(err)
		}
		s.Close()
		if got := strings.Join(asked, " "); got != want {
			t.Errorf("%s: told %s", node, got)
		}
	}
}
