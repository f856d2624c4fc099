package semantics

import (
	"strings"
	"testing"

	"qmq/test/process"
)

func TestEphemeralOnesLastNoLongerThanTheyShould(t *testing.T) {
	const room = 100
	n := start(t, func(o *options) { o.broker.MemQueueSize = room })
	p := n.connect()
	// One made over HTTP stays until a consumer has come and gone.
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch#ephemeral")
	n.do("/channel/create", "t", "durable")
	p.Publish("t", numbered("", room+50)...)
	s := n.channel("t", "ch#ephemeral")
	if s.Depth != room || s.MessageCount != room+50 {
		t.Errorf("depth %d of %d messages", s.Depth, s.MessageCount)
	}
	if d := n.channel("t", "durable").Depth; d != room+50 {
		t.Errorf("the durable channel has %d", d)
	}
	k := n.consume("t", "ch#ephemeral", 200)
	k.Fin(k.Messages(numbered("", room)...)...) // the oldest ones are kept
	k.Close()
	process.Eventually(t, "end of the channel", func() bool { return len(n.topic("t").Channels) == 1 })

	p.Publish("mem#ephemeral", numbered("", room+50)...)
	if s := n.topic("mem#ephemeral"); s.Depth != room || s.MessageCount != room+50 {
		t.Errorf("ephemeral topic: %+v", s)
	}
	n.do("/channel/create", "t", "again#ephemeral")
	n.restart()
	if n.set != nil { // that channel is the leader's, which went on
		n.do("/channel/delete", "t", "again#ephemeral")
	}
	all := parseStats(t, n.must("GET", "/stats?format=json", ""))
	if left := n.topic("t"); len(all.Topics) != 1 || len(left.Channels) != 1 || left.Channels[0].Depth != room+50 {
		t.Errorf("after a restart there are %+v", all.Topics)
	}
}

func TestAnyValidNameWorks(t *testing.T) {
	long := strings.Repeat("n", 64)
	names := []string{".", "..", "A", "a", "-_-", "0", long, long[:54] + "#ephemeral"}
	n := start(t)
	p := n.connect()
	for _, name := range names {
		p.Publish(name, "of "+name)
	}
	for _, name := range names {
		k := n.consume(name, name, 1)
		k.Fin(k.Messages("of " + name)...)
		n.wantCounts(name, name, counts{})
	}
	n.restart()
	for _, name := range names[:7] {
		n.connect().Publish(name, "again")
		n.consume(name, name, 1).Messages("again")
	}
}
