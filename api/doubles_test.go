package api

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"qmq/broker"
	"qmq/test/node"
	"qmq/test/wire"
)

// dedup is the object of /stats that tells what is known of doubles.
func (r *rig) dedup(topic string) (d map[string]int64) {
	r.t.Helper()
	var stats struct {
		Topics []struct {
			Dedup map[string]int64 `json:"dedup"`
		} `json:"topics"`
	}
	if err := json.Unmarshal([]byte(r.must("GET", "/stats?format=json&topic="+topic, "")), &stats); err != nil || len(stats.Topics) != 1 {
		r.t.Fatal(err, stats)
	}
	return stats.Topics[0].Dedup
}

func TestStatsAndMetricsTellOfDoubles(t *testing.T) {
	r := startOn(t, node.Open(t), capped(1))
	before := time.Now().UnixMilli()
	for _, name := range []string{"t", "u", "without"} { // t alone has series of its own
		r.must("POST", "/topic/create?topic="+name, "")
		if d := r.dedup(name); d != nil {
			t.Errorf("doubles of %s are known though they are not to be: %v", name, d)
		}
		if name != "without" {
			r.expect("PUT", "/topic/config?topic="+name, `{"dedup_window": "2m", "dedup_max_ids": 2}`, 200)
		}
	}
	for _, name := range []string{"t", "u", "without"} {
		for i, id := range []string{"a", "a", "b", "c", "c", "c"} {
			r.must("POST", fmt.Sprintf("/pub?topic=%s&dedup_id=%s", name, id), fmt.Sprint(i))
		}
	}
	d := r.dedup("t")
	for name, want := range map[string]int64{"double_count": 3, "ids": 2, "max_ids": 2, "evicted_count": 1, "window_ms": 120_000} {
		if d[name] != want {
			t.Errorf("%s is %d, want %d", name, d[name], want)
		}
	}
	if d["oldest_ms"] < before || d["oldest_ms"] > time.Now().UnixMilli() || d["bytes"] == 0 || len(d) != 8 {
		t.Errorf("%v", d)
	}
	s := r.scrape()
	for _, topic := range []string{"topic=t", "topic=other"} {
		s.want(t, "3", "qd_topic_doubles_total", topic)
		s.want(t, "2", "qd_topic_known_ids", topic)
		s.want(t, "1", "qd_topic_evicted_ids_total", topic)
	}
	s.want(t, fmt.Sprint(d["bytes"]+r.dedup("u")["bytes"]), "qd_known_ids_bytes")
	r.expect("PUT", "/topic/config?topic=t", `{"dedup_window": "0s"}`, 200)
	s = r.scrape()
	s.want(t, fmt.Sprint(r.dedup("u")["bytes"]), "qd_known_ids_bytes")
	s.want(t, "none", "qd_topic_doubles_total", "topic=t")
	s.want(t, "3", "qd_topic_doubles_total", "topic=other")
}

func TestMoreIDsThanThereIsMemoryForAreRefused(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MaxIDs = 1000 }))
	r.must("POST", "/topic/create?topic=t", "")
	for _, tt := range []struct{ settings, want string }{
		{`{"dedup_max_ids": 1001}`, "dedup_max_ids must be at most 1000 here, not 1001: an id takes up to 40 bytes, and those of a topic may take an eighth of the node's memory; in force is 1000"},
		{`{"dedup_max_ids": 0}`, "dedup_max_ids must be a whole number from 1 to 67108862, not 0; in force is 1000"},
		{`{"dedup_max_ids": 10, "dedup_window": "169h"}`, `dedup_window must be "0s" (none), or a duration from "1ms" to "168h" such as "2m", not "169h"; in force is "0s"`},
		{`{"dedup_from": "json:id"}`, `dedup_from must be "body", "json:" and a JSON pointer (RFC 6901) of at most 1024 bytes such as "json:/user/id", or "" (none), not "json:id"; in force is ""`},
	} {
		var refusal struct{ Message, Why string }
		if err := json.Unmarshal([]byte(r.expect("PUT", "/topic/config?topic=t", tt.settings, 400)), &refusal); err != nil || refusal.Message != "INVALID_CONFIG" || refusal.Why != tt.want {
			t.Errorf("%s: %q, want %q", tt.settings, refusal, tt.want)
		}
	}
	r.expect("PUT", "/topic/config?topic=t", `{"dedup_max_ids": 1000, "dedup_window": "1ms"}`, 200)
	c := r.connect(wire.Pub("t", "x"))
	c.Expect("OK")
}
