package server

import (
	"encoding/json"
	"fmt"
	"testing"
)

const tailing = `{"feature_negotiation":true,"tail":true}`

// tail connects a client that only looks.
func (r *rig) tail(topic, channel string) *client {
	c := r.connect(identify(tailing))
	c.frame()
	c.send(fmt.Sprintf("SUB %s %s\n", topic, channel))
	return c
}

func TestTailNeverTakesABacklog(t *testing.T) {
	r := start(t)
	r.connect(mpub("t", "one", "two")).expect("OK")
	r.tail("t", "look#ephemeral").expectError("E_SUB_FAILED SUB failed tail refused: 2 messages wait for a first channel")
	w := r.call("POST", "/channel/create?topic=t&channel=look%23ephemeral&tail=true", "")
	if w.Code != 409 || w.Body.String() != `{"message":"TAIL_REFUSED"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	at, _ := r.broker.Existing("t")
	if depth := at.Stats().Depth; depth != 2 || len(at.Channels()) != 0 {
		t.Errorf("depth %d, channels %v", depth, at.Channels())
	}
	c := r.consume("t", "first", 2)
	if a, b := c.message(), c.message(); a.body != "one" || b.body != "two" {
		t.Errorf("the first channel gets %q and %q", a.body, b.body)
	}
}

func TestTailBesideAnotherChannelGetsWhatComes(t *testing.T) {
	r := start(t)
	r.connect(pub("t", "before")).expect("OK")
	r.must("POST", "/channel/create?topic=t&channel=first", "")
	for _, channel := range []string{"look#ephemeral", "look#ephemeral"} { // the second one finds the channel
		c := r.tail("t", channel)
		c.expect("OK")
		c.send("RDY 1\n")
		r.connect(pub("t", "after")).expect("OK")
		if m := c.message(); m.body != "after" {
			t.Errorf("it sees %q", m.body)
		}
		c.Close()
	}
	r.must("POST", "/channel/create?topic=t&channel=more%23ephemeral&tail=true", "")
}

func TestTailOfAPausedTopicIsRefused(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=first", "")
	r.must("POST", "/topic/pause?topic=t", "")
	r.must("POST", "/pub?topic=t", "x")
	r.tail("t", "look#ephemeral").expectError("E_SUB_FAILED SUB failed tail refused: the topic is paused and 1 messages wait in it")
}

func TestTailMakesNoTopic(t *testing.T) {
	r := start(t)
	r.tail("t", "look#ephemeral").expectError("E_SUB_FAILED SUB failed tail refused: there is no such topic")
	if topics := r.broker.Topics(); len(topics) != 0 {
		t.Errorf("%d topics", len(topics))
	}
}

func TestTailIsEchoedOnlyToThoseWhoAsk(t *testing.T) {
	r := start(t)
	for request, want := range map[string]bool{tailing: true, `{"feature_negotiation":true}`: false} {
		_, answer := r.connect(identify(request)).frame()
		if got := containsKey(answer, "tail"); got != want {
			t.Errorf("%s: %s", request, answer)
		}
	}
}

func containsKey(object, key string) bool {
	var keys map[string]any
	return json.Unmarshal([]byte(object), &keys) == nil && keys[key] != nil
}
