package semantics

import (
	"fmt"
	"testing"

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
