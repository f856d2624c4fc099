package server

import (
	"encoding/json"
	"fmt"
	"testing"

	"qmq/test/wire"
)

const tailing = `{"feature_negotiation":true,"tail":true}`

// tail connects a client that only looks.
func (r *rig) tail(topic, channel string) *wire.Conn {
	c := r.connect(wire.Identify(tailing))
	c.Frame()
	c.Send(fmt.Sprintf("SUB %s %s\n", topic, channel))
	return c
}

func TestTailNeverTakesABacklog(t *testing.T) {
	r := start(t)
	r.connect(wire.MPub("t", "one", "two")).Expect("OK")
	r.tail("t", "look#ephemeral").ExpectError("E_SUB_FAILED SUB failed tail refused: 2 messages wait for a first channel")
	at, _ := r.broker.Existing("t")
	if depth := at.Stats().Depth; depth != 2 || len(at.Channels()) != 0 {
		t.Errorf("depth %d, channels %v", depth, at.Channels())
	}
	c := r.consume("t", "first", 2)
	if a, b := c.Message(), c.Message(); a.Body != "one" || b.Body != "two" {
		t.Errorf("the first channel gets %q and %q", a.Body, b.Body)
	}
}

func TestTailBesideAnotherChannelGetsWhatComes(t *testing.T) {
	r := start(t)
	r.connect(wire.Pub("t", "before")).Expect("OK")
	r.create("t", "first")
	for _, channel := range []string{"look#ephemeral", "look#ephemeral"} { // the second one finds the channel
		c := r.tail("t", channel)
		c.Expect("OK")
		c.Send("RDY 1\n")
		r.connect(wire.Pub("t", "after")).Expect("OK")
		if m := c.Message(); m.Body != "after" {
			t.Errorf("it sees %q", m.Body)
		}
		c.Close()
	}
}

func TestTailOfAPausedTopicIsRefused(t *testing.T) {
	r := start(t)
	if err := r.create("t", "first").Pause(); err != nil {
		t.Fatal(err)
	}
	r.connect(wire.Pub("t", "x")).Expect("OK")
	r.tail("t", "look#ephemeral").ExpectError("E_SUB_FAILED SUB failed tail refused: the topic is paused and 1 message waits in it")
}

func TestTailMakesNoTopic(t *testing.T) {
	r := start(t)
	r.tail("t", "look#ephemeral").ExpectError("E_SUB_FAILED SUB failed tail refused: there is no such topic")
	if topics := r.broker.Topics(); len(topics) != 0 {
		t.Errorf("%d topics", len(topics))
	}
}

func TestTailIsEchoedOnlyToThoseWhoAsk(t *testing.T) {
	r := start(t)
	for request, want := range map[string]bool{tailing: true, `{"feature_negotiation":true}`: false} {
		_, answer := r.connect(wire.Identify(request)).Frame()
		if got := containsKey(answer, "tail"); got != want {
			t.Errorf("%s: %s", request, answer)
		}
	}
}

func containsKey(object, key string) bool {
	var keys map[string]any
	return json.Unmarshal([]byte(object), &keys) == nil && keys[key] != nil
}
