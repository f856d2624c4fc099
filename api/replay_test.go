package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmq/test/wire"
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
	r.must("POST", "/channel/create?topic=t&channel=leaves&until=last&then=delete", "")
	if got := r.must("GET", "/stats?format=json&topic=t&channel=leaves", ""); !strings.Contains(got, `"then":"delete"`) {
		t.Errorf("/stats has %s", got)
	}
	r.must("POST", "/pub?topic=t", "4")
	got := r.must("GET", "/stats?format=json&topic=t&channel=d", "")
	if !strings.Contains(got, `"depth":3`) || !strings.Contains(got, `"until":`) || strings.Contains(got, `"then"`) || strings.Contains(got, `"done":true`) {
		t.Errorf("/stats has %s", got)
	}
	c := r.consume("t", "d", 10)
	c.Fin(c.Messages("1", "2", "3")...)
	r.eventually("/stats?format=json&topic=t&channel=d", `"done":true`)
}

// TestBoundedChannelLeavesWithItsConsumers, whether they finish what is left or somebody else
// does before or after they have gone.
func TestBoundedChannelLeavesWithItsConsumers(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/mpub?topic=t", "1\n2\n3")
	const empty = "/channel/empty?topic=t&channel=d"
	for name, end := range map[string]func(c *wire.Conn, sent []wire.Message){
		"who finish all": func(c *wire.Conn, sent []wire.Message) {
			c.Fin(sent...)
			r.eventually("/stats?format=json&topic=t&channel=d", `"done":true`)
			c.Close()
		},
		"emptied while there is one": func(c *wire.Conn, _ []wire.Message) { r.must("POST", empty, ""); c.Close() },
		"emptied after it has gone":  func(c *wire.Conn, _ []wire.Message) { c.Close(); r.must("POST", empty, "") },
	} {
		t.Run(name, func(t *testing.T) {
			r.must("POST", "/channel/create?topic=t&channel=d&until=last&then=delete", "")
			c := r.consume("t", "d", 10)
			end(c, c.Messages("1", "2", "3"))
			r.eventually("/stats?format=json&topic=t&channel=d", `"topics":[]`)
		})
	}
}

// eventually waits until an answer has some text.
func (r *rig) eventually(target, want string) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(r.must("GET", target, ""), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s has no %s: %s", target, want, r.must("GET", target, ""))
		}
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
		create + "from=":                                                `400 INVALID_FROM`,
		create + "from=yesterday":                                       `400 INVALID_FROM`,
		create + "from=2999-01-01T00:00:00Z":                            `400 INVALID_FROM`,
		create + "from=99999999999999999":                               `400 INVALID_FROM`,
		create + "from=9999999999999999":                                `400 INVALID_FROM`,
		create + "until=2999-01-01T00:00:00Z":                           `400 INVALID_UNTIL`,
		create + "from=last&until=first":                                `400 INVALID_UNTIL`,
		create + "from=3&until=2":                                       `400 INVALID_UNTIL`,
		create + "from=2001-02-03T04:05:06Z&until=2001-02-03T04:05:05Z": `400 INVALID_UNTIL`,
		create + "from=first&then=delete":                               `400 INVALID_THEN`,
		"/channel/create?topic=t&channel=c&from=first":                  `409 CHANNEL_EXISTS`,
		"/channel/create?topic=u&channel=c&from=first":                  `404 TOPIC_NOT_FOUND`,
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
