package semantics

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qmq/test/process"
	"qmq/test/wire"
)

// TestStatsHaveNSQsKeysInNSQsOrder; there may be others in between.
func TestStatsHaveNSQsKeysInNSQsOrder(t *testing.T) {
	n := start(t)
	k := n.consume("t", "ch", 1)
	k.Publish("u", "x")
	type object = json.RawMessage
	var all struct {
		Topics    []struct{ Channels []object }
		Producers []object
	}
	text := n.must("GET", "/stats?format=json", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	var topics struct{ Topics []object }
	var channel struct{ Clients []object }
	if err := json.Unmarshal([]byte(text), &topics); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all.Topics[0].Channels[0], &channel); err != nil {
		t.Fatal(err)
	}
	client := "client_id hostname version remote_address state ready_count in_flight_count message_count finish_count requeue_count " +
		"connect_ts sample_rate deflate snappy user_agent pub_counts tls tls_cipher_suite tls_version tls_negotiated_protocol tls_negotiated_protocol_is_mutual"
	for _, test := range []struct {
		what string
		o    object
		want string
	}{
		{"stats", object(text), "version health start_time topics memory producers"},
		{"topic", topics.Topics[0], "topic_name channels depth backend_depth message_count message_bytes paused e2e_processing_latency"},
		{"channel", all.Topics[0].Channels[0], "channel_name depth backend_depth in_flight_count deferred_count message_count requeue_count timeout_count client_count clients paused e2e_processing_latency"},
		{"client", channel.Clients[0], client},
		{"producer", all.Producers[0], client},
	} {
		got := process.Keys(t, test.o)
		wanted := strings.Fields(test.want)
		known := slices.DeleteFunc(slices.Clone(got), func(key string) bool { return !slices.Contains(wanted, key) })
		if !slices.Equal(known, wanted) {
			t.Errorf("%s has keys\n%s, want\n%s", test.what, got, wanted)
		}
	}
}

func TestStatsShowWhatIsAskedFor(t *testing.T) {
	n := start(t)
	n.consume("t", "ch", 0).Publish("u", "x")
	n.do("/channel/create", "u", "other")
	names := func(query string) string {
		s := parseStats(t, n.must("GET", "/stats?format=json&"+query, ""))
		var found []string
		for _, topic := range s.Topics {
			for _, c := range topic.Channels {
				found = append(found, topic.Name+"/"+c.Name)
			}
		}
		return fmt.Sprint(found, " ", len(s.Topics), " ", len(s.Producers))
	}
	for query, want := range map[string]string{
		"":                        "[t/ch u/other] 2 1",
		"topic=t":                 "[t/ch] 1 0",
		"topic=u":                 "[u/other] 1 1",
		"channel=ch":              "[t/ch] 1 1",
		"topic=u&channel=ch":      "[] 0 1",
		"topic=absent":            "[] 0 0",
		"include_clients=false":   "[t/ch u/other] 2 0",
		"include_clients=0":       "[t/ch u/other] 2 0",
		"include_clients=perhaps": "[t/ch u/other] 2 1",
	} {
		if got := names(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"topic=absent":                  `"topics":null`,
		"topic=u&channel=ch":            `"topics":[]`,
		"include_clients=false":         `"clients":null`,
		"include_clients=false&topic=t": `"producers":null`,
		"topic=u":                       `"clients":[]`,
		"include_mem=true":              `"memory":{"heap_objects":`,
	} {
		if text := n.must("GET", "/stats?format=json&"+query, ""); !strings.Contains(text, want) {
			t.Errorf("%s: no %s in %s", query, want, text)
		}
	}
	if text := n.must("GET", "/stats?format=json&include_mem=0", ""); strings.Contains(text, `"memory"`) {
		t.Errorf("memory is in %s", text)
	}
	if text := n.must("GET", "/stats?format=xml", ""); !strings.HasPrefix(text, "qd v") {
		t.Errorf("another format gives %.50q", text)
	}
}

// TestStatsTextIsLaidOutForPeople as nsqd does it, line by line.
func TestStatsTextIsLaidOutForPeople(t *testing.T) {
	n := start(t)
	n.connect().Publish("b", "1", "2")
	k := n.connect(wire.Identify(`{"hostname":"h","user_agent":"u/1"}`), "SUB b ch\nRDY 1\n")
	k.Expect("OK", "OK")
	k.Messages("1")
	k.Publish("a", "x")
	n.do("/topic/pause", "a", "")
	n.do("/channel/pause", "b", "ch")
	text := n.must("GET", "/stats", "")
	_, port, _ := net.SplitHostPort(k.LocalAddr().String())
	client := regexp.QuoteMeta(fmt.Sprintf("%-21s", "h:"+port+" u/1"))
	var memory strings.Builder
	for _, key := range strings.Fields("heap_objects heap_idle_bytes heap_in_use_bytes heap_released_bytes gc_pause_usec_100 gc_pause_usec_99 gc_pause_usec_95 next_gc_bytes gc_total_runs") {
		fmt.Fprintf(&memory, "   %-25s\t\\d+\n", key)
	}
	pattern := `^qd v\S+ \(built w/go\S+\)
start_time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+
uptime \S+s

Health: OK

Memory:
` + memory.String() + `
Topics:
\*P \[a              \] depth: 1     be-depth: 0     msgs: 1        e2e%: ?

   \[b              \] depth: 0     be-depth: 0     msgs: 2        e2e%: ?
   \*P \[ch                       \] depth: 1     be-depth: 0     inflt: 1    def: 0    re-q: 0     timeout: 0     msgs: 2        e2e%: ?
        \[V2 ` + client + `\] state: 3 inflt: 1    rdy: 1    fin: 0        re-q: 0        msgs: 1        connected: \d+s

Producers:
(   \[V2 .{21,}\] msgs: \d {7} topics: [ab]=\d connected: \d+s\n){2}$`
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("%s\nis not of the form\n%s", text, pattern)
	}
	if short := n.must("GET", "/stats?include_mem=false&include_clients=0&topic=none", ""); !strings.HasSuffix(short, "\nHealth: OK\n\nTopics: None\n\nProducers: None\n") {
		t.Errorf("%s", short)
	}
}
