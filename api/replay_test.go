package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmq/topic"
)

func TestChannelIsRewoundUnderAConnectedConsumer(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/mpub?topic=t", "1\n2\n3")
	c := r.consume("t", "c", 10)
	sent := c.Messages("1", "2", "3")
	c.Fin(sent[0])
	eventually(t, func() bool { return r.channelStats("t", "c").InFlight == 2 })
	var replay topic.Replay
	if err := json.Unmarshal([]byte(r.must("POST", "/channel/rewind?topic=t&channel=c&to=first", "")), &replay); err != nil {
		t.Fatal(err)
	}
	if replay.Messages != 3 || !replay.Oldest || replay.Retained || replay.Timestamp != sent[0].Timestamp {
		t.Errorf("answered %+v", replay)
	}
	again := c.Messages("1", "2", "3")
	if again[1].Attempts != 1 {
		t.Errorf("%d attempts", again[1].Attempts)
	}
	c.Fin(again...)
	if got := r.must("GET", "/stats?format=json&topic=t&channel=c", ""); !strings.Contains(got, `"rewound_at":`) {
		t.Errorf("/stats has %s", got)
	}
}

func TestChannelThatBeginsAndEndsIsShown(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/mpub?topic=t", "1\n2\n3")
	r.must("POST", "/channel/create?topic=t&channel=d&from=first&until=last", "")
	r.must("POST", "/pub?topic=t", "4")
	got := r.must("GET", "/stats?format=json&topic=t&channel=d", "")
	if !strings.Contains(got, `"depth":3`) || !strings.Contains(got, `"until":`) || strings.Contains(got, `"done":true`) {
		t.Errorf("/stats has %s", got)
	}
	c := r.consume("t", "d", 10)
	c.Fin(c.Messages("1", "2", "3")...)
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(r.must("GET", "/stats?format=json&topic=t&channel=d", ""), `"done":true`) {
		if time.Now().After(deadline) {
			t.Fatal("it is not done")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPositionsAreRefusedWithWhatIsAllowed(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/channel/create?topic=t&channel=e%23ephemeral", "")
	r.must("POST", "/pub?topic=t", "1")
	const create, rewind = "/channel/create?topic=t&channel=d&", "/channel/rewind?topic=t&channel=c&"
	for target, want := range map[string]string{
		create + "from=":                               `400 INVALID_FROM`,
		create + "from=yesterday":                      `400 INVALID_FROM`,
		create + "from=2999-01-01T00:00:00Z":           `400 INVALID_FROM`,
		create + "from=99999999999999999":              `400 INVALID_FROM`,
		create + "from=9999999999999999":               `400 INVALID_FROM`,
		create + "until=2999-01-01T00:00:00Z":          `400 INVALID_UNTIL`,
		create + "from=last&until=first":               `400 INVALID_UNTIL`,
		create + "from=first&then=delete":              `400 INVALID_THEN`,
		"/channel/create?topic=t&channel=c&from=first": `409 CHANNEL_EXISTS`,
		"/channel/create?topic=u&channel=c&from=first": `404 TOPIC_NOT_FOUND`,
		rewind:                                                   `400 MISSING_ARG_TO`,
		rewind + "to=soon":                                       `400 INVALID_TO`,
		rewind + "to=2999-01-01T00:00:00Z":                       `400 INVALID_TO`,
		rewind + "to=9999999999999999":                           `400 INVALID_TO`,
		"/channel/rewind?topic=t&channel=x&to=first":             `404 CHANNEL_NOT_FOUND`,
		"/channel/rewind?topic=x&channel=x&to=first":             `404 TOPIC_NOT_FOUND`,
		"/channel/rewind?topic=t&channel=e%23ephemeral&to=first": `400 EPHEMERAL_CHANNEL`,
	} {
		w := r.call("POST", target, "")
		status, code, _ := strings.Cut(want, " ")
		if got := w.Body.String(); strconv.Itoa(w.Code) != status || !strings.Contains(got, `"message":"`+code+`"`) {
			t.Errorf("%s: %d %s, want %s", target, w.Code, got, want)
		}
		if w.Code == 400 && !strings.Contains(w.Body.String(), "RFC 3339") && !strings.Contains(w.Body.String(), "allowed") && code != "EPHEMERAL_CHANNEL" {
			t.Errorf("%s: it does not say what is allowed: %s", target, w.Body)
		}
	}
}
