package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/internal/version"
	"qmq/internal/vfs"
	"qmq/test/node"
	"qmq/test/process"
	"qmq/test/wire"
)

func TestStatsKeysComeInTheirOrder(t *testing.T) {
	r := start(t)
	c := r.connect(wire.Identify(`{"client_id":"me","hostname":"h","user_agent":"test/1","topology_zone":"z"}`), "SUB t ch\n", wire.Pub("t", "x"), "RDY 1\n")
	c.Expect("OK", "OK")
	// Its OK and the message may come in either order.
	c.Frame()
	c.Frame()
	type object = json.RawMessage
	var all struct {
		Topics    []object
		Memory    object
		Producers []object
	}
	text := r.must("GET", "/stats?format=json", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	var topic struct{ Channels []object }
	json.Unmarshal(all.Topics[0], &topic)
	var channel struct{ Clients []object }
	json.Unmarshal(topic.Channels[0], &channel)

	check := func(what string, o object, want string) {
		t.Helper()
		if got := strings.Join(process.Keys(t, o), " "); got != want {
			t.Errorf("%s has keys\n%s, want\n%s", what, got, want)
		}
	}
	check("stats", object(text), "version health start_time topics memory producers"+descriptorKeys())
	check("topic", all.Topics[0], "topic_name channels depth backend_depth message_count message_bytes paused e2e_processing_latency disk_bytes")
	check("channel", topic.Channels[0], "channel_name depth backend_depth in_flight_count deferred_count message_count global_msg_count requeue_count timeout_count client_count clients paused e2e_processing_latency ready_count")
	client := "client_id hostname version remote_address state ready_count in_flight_count message_count finish_count requeue_count connect_ts sample_rate deflate snappy user_agent topology_zone topology_region pub_counts tls tls_cipher_suite tls_version tls_negotiated_protocol tls_negotiated_protocol_is_mutual"
	check("client", channel.Clients[0], client)
	check("producer", all.Producers[0], client)
	check("memory", all.Memory, "heap_objects heap_idle_bytes heap_in_use_bytes heap_released_bytes gc_pause_usec_100 gc_pause_usec_99 gc_pause_usec_95 next_gc_bytes gc_total_runs")

	var got ClientFigures
	json.Unmarshal(channel.Clients[0], &got)
	if got.ClientID != "me" || got.State != 3 || got.ReadyCount != 1 || got.InFlightCount != 1 || got.MessageCount != 1 ||
		got.UserAgent != "test/1" || got.TopologyZone != "z" || got.RemoteAddress != c.LocalAddr().String() ||
		!slices.Equal(got.PubCounts, []PubCount{{"t", 1}}) {
		t.Errorf("client is %+v", got)
	}
}

func TestStatsFilters(t *testing.T) {
	r := start(t)
	for _, name := range []string{"a", "b"} {
		r.must("POST", "/topic/create?topic="+name, "")
		r.must("POST", "/channel/create?channel=both&topic="+name, "")
	}
	r.must("POST", "/channel/create?channel=one&topic=b", "")
	c := r.connect(wire.Pub("a", "x"), wire.Pub("b", "x"), wire.MPub("b", "x", "y"))
	c.Expect("OK", "OK", "OK")
	shape := func(query string) string {
		var s struct {
			Topics []struct {
				Name     string `json:"topic_name"`
				Channels []struct {
					Name    string `json:"channel_name"`
					Clients []any
				}
			}
			Memory    any
			Producers []struct {
				PubCounts []PubCount `json:"pub_counts"`
			}
		}
		text := r.must("GET", "/stats?format=json&"+query, "")
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if s.Topics == nil {
			b.WriteString("null")
		}
		for _, topic := range s.Topics {
			b.WriteString(topic.Name + "(")
			for _, c := range topic.Channels {
				fmt.Fprintf(&b, "%s:%v ", c.Name, c.Clients != nil)
			}
			b.WriteString(")")
		}
		fmt.Fprintf(&b, " %v", s.Memory != nil)
		if s.Producers == nil {
			b.WriteString(" null")
		}
		for _, p := range s.Producers {
			fmt.Fprintf(&b, " %v", p.PubCounts)
		}
		return b.String()
	}
	for query, want := range map[string]string{
		"":                                      "a(both:true )b(both:true one:true ) true [{a 1} {b 3}]",
		"topic=b":                               "b(both:true one:true ) true [{b 3}]",
		"topic=b&channel=one":                   "b(one:true ) true [{b 3}]",
		"channel=one":                           "b(one:true ) true [{a 1} {b 3}]",
		"topic=a&channel=one":                   " true [{a 1}]",
		"topic=absent":                          "null true null",
		"include_clients=false":                 "a(both:false )b(both:false one:false ) true null",
		"include_clients=0&include_mem=0":       "a(both:false )b(both:false one:false ) false null",
		"include_mem=false&include_clients=yes": "a(both:true )b(both:true one:true ) false [{a 1} {b 3}]",
	} {
		if got := shape(query); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

// latency is the latency figures of a topic or a channel.
type latency struct {
	Count       int64
	Percentiles []map[string]float64
}

// latencies asks /stats for the figures of topic t and of its channels.
func (r *rig) latencies() (topic latency, channels []latency) {
	r.t.Helper()
	var s struct {
		Topics []struct {
			Latency  latency `json:"e2e_processing_latency"`
			Channels []struct {
				Latency latency `json:"e2e_processing_latency"`
			}
		}
	}
	if err := json.Unmarshal([]byte(r.must("GET", "/stats?format=json&topic=t", "")), &s); err != nil {
		r.t.Fatal(err)
	}
	for _, c := range s.Topics[0].Channels {
		channels = append(channels, c.Latency)
	}
	return s.Topics[0].Latency, channels
}

func TestStatsShowLatenciesFromPublishToFin(t *testing.T) {
	b := node.Open(t, func(o *broker.Options) { o.LatencyWindow = time.Hour })
	r := startOn(t, b, func(o *options) { o.percentiles = []float64{0.99, 0.5} })
	r.must("POST", "/topic/create?topic=t", "")
	if all, _ := r.latencies(); all.Percentiles != nil {
		t.Errorf("a topic without channels has %v", all)
	}
	for _, c := range []string{"one", "two"} {
		r.must("POST", "/channel/create?topic=t&channel="+c, "")
	}
	before := time.Now()
	r.must("POST", "/mpub?topic=t", "x\ny")
	for name, fins := range map[string]int{"one": 2, "two": 1} {
		c := r.consume("t", name, 2)
		for i := range 2 {
			m := c.Message()
			if i < fins {
				c.Send("FIN " + m.ID + "\n")
			}
		}
		c.Send("NOP\n" + wire.Pub("other", "x"))
		c.Expect("OK") // so that the FINs were carried out
	}
	most := float64(time.Since(before)) * 1.01
	all, each := r.latencies()
	if all.Count != 3 || each[0].Count != 2 || each[1].Count != 1 {
		t.Errorf("counted %+v of %+v", all, each)
	}
	for _, l := range append(each, all) {
		if len(l.Percentiles) != 2 || l.Percentiles[0]["quantile"] != 0.99 || l.Percentiles[1]["quantile"] != 0.5 {
			t.Fatalf("percentiles are %v", l.Percentiles)
		}
		if p99, p50 := l.Percentiles[0]["value"], l.Percentiles[1]["value"]; p50 <= 0 || p99 < p50 || p99 > most {
			t.Errorf("the middle one took %v ns, the slowest %v, all %v", p50, p99, most)
		}
	}
	if text := r.must("GET", "/stats", ""); !regexp.MustCompile(`\[t              \] .* e2e%: [0-9]+\.[0-9](us|ms|s), [0-9]+\.[0-9](us|ms|s)\n`).MatchString(text) {
		t.Errorf("no latencies in\n%s", text)
	}
}

func TestLatenciesInTheTextHaveOneDecimal(t *testing.T) {
	l := Latencies{Percentiles: []Percentile{{1, 90e9}, {0.9, 1_234_567}, {0.8, 1e6}, {0.5, 999}, {0.1, 0}}}
	if got, want := l.String(), "90.0s, 1.2ms, 1000.0us, 999.0ns, 0.0ns"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStatsHaveNoLatenciesThatNobodyWants(t *testing.T) {
	r := start(t)
	r.must("POST", "/pub?topic=t", "x")
	c := r.consume("t", "ch", 1)
	c.Send("FIN " + c.Message().ID + "\n" + wire.Pub("other", "x"))
	c.Expect("OK")
	text := r.must("GET", "/stats?format=json&topic=t", "")
	if n := strings.Count(text, `"e2e_processing_latency":{"count":0,"percentiles":null}`); n != 2 {
		t.Errorf("%d times null in %s", n, text)
	}
}

func TestStatsWithoutTopics(t *testing.T) {
	r := start(t)
	want := fmt.Sprintf(`{"version":"2.0.0","health":"OK","start_time":%d,"topics":[],"memory":{`, r.broker.StartTime().Unix())
	if got := r.must("GET", "/stats?format=json", ""); !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
	if got := r.must("GET", "/stats?format=JSON&include_mem=false", ""); !strings.HasSuffix(got, "\nHealth: OK\n\nTopics: None\n\nProducers: None\n") {
		t.Errorf("got %s", got)
	}
}

func TestStatsText(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=quiet", "")
	r.must("POST", "/topic/pause?topic=quiet", "")
	c := r.connect(wire.Identify(`{"hostname":"h","user_agent":"test/1"}`), "SUB t ch\n", wire.Pub("t", "x"), wire.MPub("t", "y", "z"), "RDY 1\n")
	c.Expect("OK", "OK")
	for range 3 { // two OKs and a message
		c.Frame()
	}
	r.must("POST", "/channel/pause?topic=t&channel=ch", "")
	text := r.must("GET", "/stats", "")
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	name := fmt.Sprintf("%-21s", "h:"+port+" test/1")
	for _, want := range []string{
		version.String("qd") + "\nstart_time ",
		"\nuptime ",
		"\n\nHealth: OK\n\nMemory:\n   heap_objects             \t",
		"\n\nTopics:\n*P [quiet          ] depth: 0     be-depth: 0     msgs: 0        e2e%: \n\n" +
			"   [t              ] depth: 0     be-depth: 0     msgs: 3        e2e%: \n" +
			"   *P [ch                       ] depth: 2     be-depth: 0     inflt: 1    def: 0    re-q: 0     timeout: 0     msgs: 3        e2e%: \n" +
			"        [V2 " + name + "] state: 3 inflt: 1    rdy: 1    fin: 0        re-q: 0        msgs: 1        connected: ",
		"\n\nProducers:\n   [V2 " + name + "] msgs: 3        topics: t=3 connected: ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestWhatAClientSaysOfItselfIsKeptInPart(t *testing.T) {
	r := start(t)
	r.connect(wire.Identify(`{"user_agent":"`+strings.Repeat("x", 60_000)+`"}`), "SUB t ch\n").Expect("OK", "OK")
	text := r.must("GET", "/stats?format=json", "")
	if n := strings.Count(text, "x"); n < 1024 || n > 1200 {
		t.Errorf("%d bytes of the user agent are kept", n)
	}
}

func TestDamageIsCountedInStatsAndLeavesHealthAlone(t *testing.T) {
	fs := vfs.NewMem()
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.FS, o.MemQueueSize = fs, 0 }))
	r.must("POST", "/pub?topic=t", "damaged")
	r.must("POST", "/pub?topic=t", "whole")
	if text := r.must("GET", "/stats?format=json", ""); strings.Contains(text, "damage") {
		t.Errorf("damage shows before there is any: %s", text)
	}
	spoilFirstRecord(t, fs)
	c := r.consume("t", "ch", 10)
	if m := c.Message(); m.Body != "whole" {
		t.Errorf("%q came", m.Body)
	}
	if text := r.must("GET", "/stats?format=json", ""); !strings.Contains(text, `"damage":{"messages":1,"journal_bytes":0,"last":`) {
		t.Errorf("no damage in %s", text)
	}
	if text := r.must("GET", "/stats", ""); !strings.Contains(text, "Damage: 1 messages lost") {
		t.Errorf("no damage in %s", text)
	}
	if text := r.must("GET", "/ping", ""); text != "OK" {
		t.Errorf("ping: %s", text)
	}
}

// spoilFirstRecord writes over a byte of the first record of the only topic.
func spoilFirstRecord(t *testing.T, fs vfs.FS) {
	t.Helper()
	topics, err := fs.ReadDir("data/topics")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("data/topics", topics[0].Name())
	files, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open(filepath.Join(dir, files[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const header, record = 4096 + 64, 28
	if _, err := f.WriteAt([]byte{0}, header+record); err != nil {
		t.Fatal(err)
	}
}

// What an ephemeral topic had no room for was published, and is counted apart.
func TestStatsCountWhatAnEphemeralTopicDropped(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MemQueueSize = 3 }))
	for range 5 {
		r.must("POST", "/pub?topic=t%23ephemeral", "m")
	}
	text := r.must("GET", "/stats?format=json", "")
	if !strings.Contains(text, `"message_count":5,`) || !strings.Contains(text, `"dropped_count":2,`) {
		t.Error(text)
	}
	r.must("POST", "/topic/create?topic=u", "")
	if text := r.must("GET", "/stats?format=json&topic=u", ""); strings.Contains(text, "dropped_count") {
		t.Error(text)
	}
}

// someVolume is a file system.
type someVolume struct {
	free, used int64
	err        error
}

func (v *someVolume) Space() (vfs.Space, error) { return vfs.Space{Free: v.free, Used: v.used}, v.err }

// descriptorKeys are those that tell of descriptors, on systems that count them.
func descriptorKeys() string {
	if vfs.OpenDescriptors() == 0 {
		return ""
	}
	return " open_files max_open_files"
}

func TestStatsTellTheRoomOnTheDiskAndWhatTopicsTake(t *testing.T) {
	v := &someVolume{free: 1000, used: 2000}
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.Volume = v }))
	r.must("POST", "/pub?topic=t", strings.Repeat("x", 1000))
	r.must("POST", "/pub?topic=e%23ephemeral", "x")
	text := r.must("GET", "/stats?format=json", "")
	if got, want := strings.Join(process.Keys(t, []byte(text)), " "), "version health start_time topics memory producers disk_free_bytes disk_used_bytes"+descriptorKeys(); got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
	var s struct {
		Free   int64 `json:"disk_free_bytes"`
		Used   int64 `json:"disk_used_bytes"`
		Topics []TopicFigures
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Free != 1000 || s.Used != 2000 {
		t.Errorf("free %d, used %d", s.Free, s.Used)
	}
	if e, d := s.Topics[0].DiskBytes, s.Topics[1].DiskBytes; e != 0 || d < 1000 || d > 10_000 {
		t.Errorf("in memory %d bytes, on disk %d", e, d)
	}
	v.err = errors.New("no such device")
	if text := r.must("GET", "/stats?format=json", ""); strings.Contains(text, "disk_free_bytes") {
		t.Errorf("room that is not known: %s", text)
	}
	if text := r.must("GET", "/stats", ""); strings.Contains(text, "disk") {
		t.Errorf("nsqd's text has no disk: %s", text)
	}
}

func TestPublishesAreRefusedWithTheReasonWhileThereIsTooLittleRoom(t *testing.T) {
	v := &someVolume{free: 1000}
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.Volume, o.SpaceLimits = v, broker.SpaceLimits{FreeBytes: 2000} }))
	const why = "the disk has 1000 B free, and --min-free-bytes keeps 2.0 KiB: nothing is published until there is room"
	for _, path := range []string{"/pub?topic=t", "/mpub?topic=t"} {
		if w := r.call("POST", path, "x"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), why) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := r.call("GET", "/ping", ""); w.Code != http.StatusInternalServerError || w.Body.String() != "NOK - "+why {
		t.Errorf("ping: %d %s", w.Code, w.Body)
	}
	c := r.connect(wire.Pub("t", "x"), wire.MPub("t", "x", "y"), "NOP\n", wire.DPub("t", 1, "x"))
	for _, kind := range []string{"PUB", "MPUB", "DPUB"} {
		c.ExpectError("E_" + kind + "_FAILED " + kind + " failed " + why)
	}
}
