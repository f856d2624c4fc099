package nodeclient

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// plain is the part of /stats that the figures are taken from, for the
// standard library.
type plain struct {
	Version   string `json:"version"`
	Health    string `json:"health"`
	StartTime int64  `json:"start_time"`
	Topics    []struct {
		Name     string `json:"topic_name"`
		Depth    int64  `json:"depth"`
		Backend  int64  `json:"backend_depth"`
		Messages int64  `json:"message_count"`
		Bytes    int64  `json:"message_bytes"`
		Paused   bool   `json:"paused"`
		Channels []struct {
			Name     string `json:"channel_name"`
			Depth    int64  `json:"depth"`
			InFlight int64  `json:"in_flight_count"`
			Timeouts int64  `json:"timeout_count"`
			Clients  []struct {
				ID    string `json:"client_id"`
				Ready int64  `json:"ready_count"`
				TLS   bool   `json:"tls"`
			} `json:"clients"`
			Latency struct {
				Percentiles []struct{ Quantile, Value float64 }
			} `json:"e2e_processing_latency"`
		} `json:"channels"`
	} `json:"topics"`
}

const example = `{"version":"1.3.0","health":"OK","start_time":1700000000,"topics":[
 {"topic_name":"a","channels":[
   {"channel_name":"c","depth":3,"backend_depth":1,"in_flight_count":2,"deferred_count":4,"message_count":9,"requeue_count":5,"timeout_count":6,"client_count":1,
    "clients":[{"client_id":"x\"é\u00e9","hostname":"h","version":"V2","remote_address":"1.2.3.4:5","state":3,"ready_count":7,"pub_counts":[{"topic":"t","count":1}],"tls":true,"snappy":false}],
    "paused":true,"e2e_processing_latency":{"count":2,"percentiles":[{"quantile":0.99,"value":1.5e6},{"quantile":0.5,"value":12}]}},
   {"channel_name":"d#ephemeral","depth":0,"clients":null,"e2e_processing_latency":{"count":0,"percentiles":null},"ready_count":9,"held_back_count":21,"stopped_count":22}],
  "dedup":{"double_count":23,"ids":1,"window_ms":5},"depth":11,"backend_depth":10,"message_count":18446744073709551615,"message_bytes":123456,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null},"disk_bytes":4711},
 {"topic_name":"b","channels":[],"depth":-1}],
"memory":{"heap_objects":1,"heap_in_use_bytes":4096},"producers":null,"damage":{"messages":3,"journal_bytes":77,"last":12,"findings":[
 {"id":"missing/1/2","number":12,"kind":"missing","topic":"t","channel":"c","from":2,"to":5,"messages":3,"path":"/d","copy":"/e","time":1700000001,"text":"gone"}],
 "older":[{"kind":"journal","findings":2,"messages":1,"bytes":77}]},"disk_free_bytes":5,"disk_used_bytes":0,"open_files":12,"max_open_files":1024,"draining":true,"later":{"x":[1,[2,{"y":null}]],"z":true}}`

func TestDecodeTakesWhatIsWanted(t *testing.T) {
	var d Decoder
	for range 2 { // the second time with what the first left behind
		got, err := d.Decode([]byte(example))
		if err != nil {
			t.Fatal(err)
		}
		want := &Stats{
			Version: "1.3.0", Health: "OK", StartTime: 1700000000, HeapInUse: 4096, Draining: true, DiskFree: new(int64(5)), DiskUsed: new(int64(0)), OpenFiles: 12, MaxOpenFiles: 1024, Damage: &Damage{3, 77, 12,
				[]Finding{{"missing/1/2", "missing", "t", "c", 3, "/d", "/e", 1700000001, "gone"}}, []DamageSum{{"journal", 2, 1}}},
			Topics: []Topic{
				{Name: "a", Depth: 11, BackendDepth: 10, Messages: math.MaxInt64, Bytes: 123456, DiskBytes: 4711, Doubles: 23, Channels: []Channel{
					{Name: "c", Depth: 3, BackendDepth: 1, InFlight: 2, Deferred: 4, Messages: 9, Requeued: 5, TimedOut: 6, ClientCount: 1, Paused: true,
						Clients: []Consumer{{ID: `x"éé`, Hostname: "h", Version: "V2", RemoteAddress: "1.2.3.4:5", ReadyCount: 7, TLS: true}},
						Latency: Latency{2, []Percentile{{0.99, 1.5e6}, {0.5, 12}}}},
					{Name: "d#ephemeral", Ready: 9, HeldBack: 21, Stopped: 22},
				}},
				{Name: "b", DiskBytes: -1, Depth: -1, Channels: []Channel{}},
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v, want\n%+v", got, want)
		}
	}
}

func TestUnknownTopicIsNotNoTopics(t *testing.T) {
	for text, wantNil := range map[string]bool{`{"topics":null}`: true, `{"topics":[]}`: false, `{}`: true} {
		got, err := new(Decoder).Decode([]byte(text))
		if err != nil || (got.Topics == nil) != wantNil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestAnswersBefore10AreUnwrapped(t *testing.T) {
	got, err := new(Decoder).Decode([]byte(`{"status_code":200,"data":{"version":"0.3.8","topics":[{"topic_name":"t"}]}}`))
	if err != nil || got.Version != "0.3.8" || len(got.Topics) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	for _, text := range []string{
		"", "null", "[]", "{", `{"a`, `{"a"}`, `{"a":1,}`, `{"a":1}x`, `{"version":1}`, `{"topics":{}}`, `{"topics":[{"depth":"1"}]}`,
		`{"topics":[{"depth":1.5}]}`, `{"topics":[{"paused":0}]}`, `{"version":"\x"}`, `{"version":"`, "{\"version\":\"\n\"}", `{"x":--1}`, `{"x":nul}`,
		`{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", `<html>`,
	} {
		if got, err := new(Decoder).Decode([]byte(text)); err == nil {
			t.Errorf("%.40s: got %+v", text, got)
		}
	}
}

func FuzzDecodeAgreesWithTheStandardLibrary(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"topics":[{"channels":[{"clients":[{}]}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := new(Decoder).Decode(text)
		if err != nil || !json.Valid(text) {
			return // stricter or laxer in what nobody sends; it must only end
		}
		var want plain
		if json.Unmarshal(text, &want) != nil || folded(text) {
			return
		}
		if len(got.Topics) != len(want.Topics) {
			t.Fatalf("%d topics, want %d", len(got.Topics), len(want.Topics))
		}
	})
}

// folded tells whether keys may differ by case or come twice, where the
// standard library has its own ways.
func folded(text []byte) bool {
	lower := strings.ToLower(string(text))
	return lower != string(text) || strings.Count(lower, `topics"`) > 1 || strings.Contains(lower, `\u`) || strings.Contains(lower, `"data"`)
}

// large is /stats of a node with many topics.
func large(topics, channels int) []byte {
	var b strings.Builder
	b.WriteString(`{"version":"1.3.0","health":"OK","start_time":1,"topics":[`)
	for i := range topics {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"topic_name":"topic.number.%d","channels":[`, i)
		for j := range channels {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"channel_name":"channel%d","depth":%d,"backend_depth":0,"in_flight_count":12,"deferred_count":0,"message_count":%d,"requeue_count":3,"timeout_count":4,"client_count":2,"clients":null,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}`, j, i, i*1000)
		}
		fmt.Fprintf(&b, `],"depth":0,"backend_depth":0,"message_count":%d,"message_bytes":%d,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}`, i*1000, i*100000)
	}
	b.WriteString(`],"producers":null}`)
	return []byte(b.String())
}

func BenchmarkDecode1000Topics(b *testing.B) {
	text := large(1000, 3)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var d Decoder
	for b.Loop() {
		if _, err := d.Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStandardLibrary1000Topics(b *testing.B) {
	text := large(1000, 3)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var p plain
		if err := json.Unmarshal(text, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAnswersInAnswersAreNotFollowedForever(t *testing.T) {
	deep := strings.Repeat(`{"data":`, 4_000_000) + "1" + strings.Repeat("}", 4_000_000)
	if _, err := new(Decoder).Decode([]byte(deep)); err == nil {
		t.Error("it was taken")
	}
	old, err := new(Decoder).Decode([]byte(`{"status_code":200,"data":{"version":"0.3.8","topics":[]}}`))
	if err != nil || old.Version != "0.3.8" {
		t.Errorf("%+v, %v", old, err)
	}
}

func TestConsumersAreCountedWhereNobodyCountsThem(t *testing.T) {
	stats, err := new(Decoder).Decode([]byte(`{"topics":[{"topic_name":"t","channels":[{"channel_name":"c","clients":[{"client_id":"a"},{"client_id":"b"}]}]}]}`))
	if err != nil || stats.Topics[0].Channels[0].ClientCount != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
}
