package cluster

import (
	"slices"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/replica/machine"
)

// What is found of a topic is mended at a time, and what is known to be what nobody has is
// nothing new, also when it is found together with something else.
func TestLossesOfATopicAreMendedAtATime(t *testing.T) {
	m := &mender{soon: make(chan struct{}, 1)}
	found := func(topic string, incarnation, from, to uint64) {
		m.found(1, machine.Finding{Topic: topic, Incarnation: incarnation, Finding: diskqueue.Finding{
			Kind: diskqueue.Damaged, Range: seqset.Range{From: from, To: to}, Lost: to - from,
		}})
	}
	want := func(lists ...[]seqset.Range) {
		t.Helper()
		if len(m.lost) != len(lists) {
			t.Fatalf("%+v, want %v", m.lost, lists)
		}
		for i, list := range lists {
			if !slices.Equal(m.lost[i].numbers, list) {
				t.Errorf("%+v, want %v", m.lost[i], list)
			}
		}
	}
	found("orders", 1, 10, 11)
	found("other", 2, 10, 11)
	found("orders", 1, 20, 22)
	found("orders", 1, 11, 12)
	want([]seqset.Range{{From: 10, To: 12}, {From: 20, To: 22}}, []seqset.Range{{From: 10, To: 11}})
	m.lost = nil // they are being mended
	found("orders", 1, 20, 25)
	m.again([]loss{{shard: 1, name: "orders", incarnation: 1, numbers: []seqset.Range{{From: 20, To: 22}}, told: true}})
	want([]seqset.Range{{From: 22, To: 25}}, []seqset.Range{{From: 20, To: 22}})
	if n := m.waits.Load(); n != 2 {
		t.Errorf("%d messages wait", n)
	}
	found("orders", 1, 21, 22)
	want([]seqset.Range{{From: 22, To: 25}}, []seqset.Range{{From: 20, To: 22}})
}
