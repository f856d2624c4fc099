package api

import (
	"net/http"
	"strings"
	"testing"

	"qmq/broker"
	"qmq/settings"
	"qmq/test/node"
	"qmq/test/wire"
)

// expect calls and wants a status.
func (r *rig) expect(method, target, body string, status int) string {
	r.t.Helper()
	w := r.call(method, target, body)
	if w.Code != status {
		r.t.Fatalf("%s %s %s: %d %s, want %d", method, target, body, w.Code, w.Body, status)
	}
	return w.Body.String()
}

func TestSettingsAreSetShownAndReset(t *testing.T) {
	r := start(t)
	r.expect("POST", "/topic/create?topic=t", "", 200)
	r.expect("POST", "/channel/create?topic=t&channel=c", "", 200)
	answer := r.expect("PUT", "/topic/config?topic=t", `{"max_bytes": "10MiB", "max_age": "90m"}`, 200)
	for _, want := range []string{`"set":{"max_bytes":10485760,"max_age":"1h30m"}`, `"max_age":"1h30m"`, `"overflow":"reject"`} {
		if !strings.Contains(answer, want) {
			t.Errorf("%s lacks %s", answer, want)
		}
	}
	r.expect("PUT", "/topic/config?topic=t", `{"max_bytes": null}`, 200)
	r.expect("PUT", "/channel/config?topic=t&channel=c", `{"max_in_flight": 7}`, 200)
	if got := r.expect("GET", "/topic/config?topic=t", "", 200); !strings.Contains(got, `"set":{"max_age":"1h30m"}`) || !strings.Contains(got, `"max_bytes":0`) {
		t.Errorf("after the reset: %s", got)
	}
	stats := r.expect("GET", "/stats?format=json&include_config=true", "", 200)
	for _, want := range []string{`"set":{"max_age":"1h30m"}`, `"set":{"max_in_flight":7}`} {
		if !strings.Contains(stats, want) {
			t.Errorf("%s lacks %s", stats, want)
		}
	}
	if plain := r.expect("GET", "/stats?format=json", "", 200); strings.Contains(plain, "config") {
		t.Errorf("settings in %s", plain)
	}
}

func TestRefusedSettingsChangeNothing(t *testing.T) {
	r := start(t)
	r.expect("POST", "/topic/create?topic=t", "", 200)
	r.expect("POST", "/channel/create?topic=t&channel=c", "", 200)
	r.expect("POST", "/topic/create?topic=e%23ephemeral", "", 200)
	for _, tt := range []struct {
		path, body, want string
		status           int
	}{
		{"/topic/config?topic=t", `{"max_age": "1h", "nope": 1}`, `{"message":"INVALID_CONFIG","why":"there is no setting \"nope\"`, 400},
		{"/topic/config?topic=t", `{"max_age": "1h", "max_bytes": "1XB"}`, `in force is 0`, 400},
		{"/topic/config?topic=e%23ephemeral", `{"sync": "always"}`, "for an #ephemeral topic", 400},
		{"/topic/config?topic=u", `{}`, "TOPIC_NOT_FOUND", 404},
		{"/topic/config", `{}`, "MISSING_ARG_TOPIC", 400},
		{"/channel/config?topic=t&channel=d", `{}`, "CHANNEL_NOT_FOUND", 404},
		{"/channel/config?topic=t&channel=c", `{"max_attempts": 3}`, "needs a dead_letter_topic", 400},
		{"/topic/config?topic=t", `{"max_age": "` + strings.Repeat("x", maxSettings) + `"}`, "BODY_TOO_BIG", 413},
	} {
		if got := r.expect("PUT", tt.path, tt.body, tt.status); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %s, want %s", tt.path, tt.body, got, tt.want)
		}
	}
	if got := r.expect("GET", "/topic/config?topic=t", "", 200); !strings.Contains(got, `"set":{}`) {
		t.Errorf("set is %s", got)
	}
}

func TestPatternsHoldUntilSomethingIsSet(t *testing.T) {
	rules := new(settings.Rules)
	if err := rules.AddTopics("t*", map[string]any{"max_age": "1h", "max_channels": int64(1)}); err != nil {
		t.Fatal(err)
	}
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.Settings = rules }))
	r.expect("POST", "/topic/create?topic=t1", "", 200)
	r.expect("POST", "/channel/create?topic=t1&channel=a", "", 200)
	if got := r.expect("POST", "/channel/create?topic=t1&channel=b", "", http.StatusTooManyRequests); !strings.Contains(got, "limit of 1 channels of topic t1 reached (the topic's setting max_channels)") {
		t.Errorf("the second channel: %s", got)
	}
	r.expect("PUT", "/topic/config?topic=t1", `{"max_channels": 2}`, 200)
	r.expect("POST", "/channel/create?topic=t1&channel=b", "", 200)
	if got := r.expect("GET", "/topic/config?topic=t1", "", 200); !strings.Contains(got, `"max_age":"1h"`) || !strings.Contains(got, `"set":{"max_channels":2}`) {
		t.Errorf("in force is %s", got)
	}
}

func TestSettingsTellWhereTheyComeFromAndWhatTheyMayBe(t *testing.T) {
	rules := new(settings.Rules)
	for pattern, values := range map[string]map[string]any{
		"t*": {"max_age": "1h", "max_channels": int64(1), "overflow": "drop-oldest"}, "t1*": {"max_age": "2h"}, "e*": {"sync": "always"},
	} {
		if err := rules.AddTopics(pattern, values); err != nil {
			t.Fatal(err)
		}
	}
	if err := rules.AddChannels("*/c*", map[string]any{"rate": 5.0}); err != nil {
		t.Fatal(err)
	}
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.Settings = rules }))
	r.expect("POST", "/topic/create?topic=t1", "", 200)
	r.expect("POST", "/topic/create?topic=e%23ephemeral", "", 200)
	r.expect("POST", "/channel/create?topic=t1&channel=c", "", 200)
	r.expect("PUT", "/topic/config?topic=t1", `{"max_channels": 2}`, 200)
	topic := r.expect("GET", "/topic/config?topic=t1", "", 200)
	for _, want := range []string{`"patterns":{"max_age":"t1*","overflow":"t*"}`, `{"name":"overflow","allowed":"\"reject\" or \"drop-oldest\""}`} {
		if !strings.Contains(topic, want) {
			t.Errorf("%s lacks %s", topic, want)
		}
	}
	if got := r.expect("GET", "/channel/config?topic=t1&channel=c", "", 200); !strings.Contains(got, `"patterns":{"rate":"*/c*"}`) || !strings.Contains(got, `"name":"msg_timeout"`) {
		t.Errorf("%s", got)
	}
	if got := r.expect("GET", "/topic/config?topic=e%23ephemeral", "", 200); strings.Contains(got, `"patterns"`) {
		t.Errorf("a pattern that is not in force: %s", got)
	}
	if got := r.expect("GET", "/stats?format=json&include_config=true", "", 200); strings.Contains(got, `"allowed"`) {
		t.Errorf("what is allowed is in /stats: %s", got)
	}
}

func TestFullTopicIsToldToWhoPublishes(t *testing.T) {
	r := start(t)
	r.expect("POST", "/topic/create?topic=t", "", 200)
	r.expect("PUT", "/topic/config?topic=t", `{"max_messages": 2}`, 200)
	r.expect("POST", "/mpub?topic=t", "1\n2", 200)
	const why = "topic t is full: its messages that are not finished are limited to 2 messages (max_messages)"
	if got := r.expect("POST", "/pub?topic=t", "3", http.StatusTooManyRequests); !strings.Contains(got, why) {
		t.Errorf("refused with %s", got)
	}
	c := r.connect(wire.Pub("t", "3"), wire.MPub("t", "3"), wire.DPub("t", 5, "3"), wire.Pub("u", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed " + why)
	c.ExpectError("E_MPUB_FAILED MPUB failed " + why)
	c.ExpectError("E_DPUB_FAILED DPUB failed " + why)
	c.Expect("OK")
	k := r.consume("t", "c", 1)
	k.Fin(k.Message())
	eventually(t, func() bool { return r.call("POST", "/pub?topic=t", "3").Code == 200 })
}

func TestTimeToLiveIsOfEachMessage(t *testing.T) {
	r := start(t)
	r.expect("POST", "/topic/create?topic=t", "", 200)
	r.expect("POST", "/channel/create?topic=t&channel=c", "", 200)
	for _, bad := range []string{"", "0", "-1", "x", "1.5", "315360000001"} {
		if got := r.expect("POST", "/pub?topic=t&ttl="+bad, "x", 400); !strings.Contains(got, "INVALID_TTL") {
			t.Errorf("ttl=%s: %s", bad, got)
		}
		r.expect("POST", "/mpub?topic=t&ttl="+bad, "x", 400)
	}
	r.expect("POST", "/pub?topic=t&ttl=1", "short", 200)
	r.expect("POST", "/mpub?topic=t&ttl=1", "short\nshort", 200)
	r.expect("POST", "/pub?topic=t&ttl=1&defer=1", "short and late", 200)
	r.expect("POST", "/pub?topic=t&ttl=315360000000", "long", 200)
	eventually(t, func() bool { return strings.Contains(r.must("GET", "/stats?format=json", ""), `"expired_count":4`) })
	stats := r.must("GET", "/stats?format=json", "")
	if strings.Count(stats, `"expired_count":4`) != 2 || !strings.Contains(stats, `"channel_name":"c","depth":1`) {
		t.Errorf("%s", stats)
	}
	if m := r.consume("t", "c", 1).Message(); m.Body != "long" {
		t.Errorf("got %q", m.Body)
	}
}
