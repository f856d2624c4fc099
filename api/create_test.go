package api

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"qmq/broker"
	"qmq/test/node"
	"qmq/test/wire"
)

func TestLimitsOfTopicsAndChannelsAreToldOverHTTP(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MaxTopics, o.MaxChannels = 1, 1 }))
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	const topics = "limit of 1 topics of this node reached (--max-topics)"
	const channels = "limit of 1 channels of topic t reached (--max-channels)"
	for target, want := range map[string]string{
		"/topic/create?topic=u": topics, "/pub?topic=u": topics, "/mpub?topic=u": topics, "/channel/create?topic=t&channel=d": channels,
	} {
		if w := r.call("POST", target, "x"); w.Code != 429 || w.Body.String() != `{"message":"LIMIT_REACHED","why":"`+want+`"}` {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	r.must("POST", "/pub?topic=t", "x")
}

func TestWithoutAutoCreateOnlyHTTPCreates(t *testing.T) {
	var log lockedBuilder
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.NoAutoCreate = true }), func(o *options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	const why = "there is no topic or channel of that name, and clients may not create it (--auto-create=false)"
	c := r.connect(wire.Pub("t", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed " + why)
	r.connect("SUB t c\n").ExpectError("E_SUB_FAILED SUB failed " + why)
	for _, target := range []string{"/pub?topic=t", "/mpub?topic=t"} {
		if w := r.call("POST", target, "x"); w.Code != 404 || !strings.HasPrefix(w.Body.String(), `{"message":"TOPIC_NOT_FOUND","why":"with --auto-create=false `) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if !strings.Contains(log.String(), "level=INFO msg=\"404 POST /pub?topic=t") || !strings.Contains(log.String(), "TOPIC_NOT_FOUND: with --auto-create=false") {
		t.Errorf("the log is %s", log.String())
	}
	r.must("POST", "/topic/create?topic=t", "")
	c.Send(wire.Pub("t", "x"))
	c.Expect("OK")
	r.connect("SUB t c\n").ExpectError("E_SUB_FAILED SUB failed " + why)
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.consume("t", "c", 1).Message()
	r.must("POST", "/topic/delete?topic=t", "")
	c.Send(wire.Pub("t", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed " + why)
}

// lockedBuilder is a log that is read while it is written.
type lockedBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedBuilder) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
