package semantics

import (
	"fmt"
	"testing"
	"time"

	"qmq/test/wire"
)

// connect connects and sends the magic and the given bytes.
func (n *node) connect(first ...string) *wire.Conn {
	n.t.Helper()
	return wire.Connect(n.t, n.address, first...)
}

// consume connects a consumer with the given RDY count, 0 for none.
func (n *node) consume(topic, channel string, ready int) *wire.Conn {
	n.t.Helper()
	return wire.Consume(n.t, n.address, topic, channel, ready)
}

// awaitDelivery waits for as long as the connection lasts: who left one open that has a
// ready count would keep what comes to it from all others. The error is that it is over.
func (n *node) awaitDelivery(k *wire.Conn) (data string, err error) {
	for {
		kind, b, err := k.Next(time.Time{})
		if err != nil || kind == wire.Delivery {
			return string(b), err
		}
		if data = string(b); !n.unfinished(kind, data) {
			n.t.Errorf("frame %d %q", kind, data)
		}
	}
}

// parsed is what a message frame holds.
func parsed(t testing.TB, data string) wire.Message {
	t.Helper()
	m, err := wire.ParseMessage(data)
	if err != nil {
		t.Error(err)
	}
	return m
}

// numbered is n different bodies.
func numbered(prefix string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprint(prefix, i)
	}
	return bodies
}
