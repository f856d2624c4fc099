package cluster

import (
	"context"
	"testing"

	"qmq/internal/histogram"
	"qmq/state"
)

// What members send one another, how long saves take and who leads is counted.
func TestWhatASetDoesIsCounted(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	shard := shardOf("orders")
	ctx, cancel := context.WithTimeout(t.Context(), rigTimeout)
	defer cancel()
	leader, other := g.members[0], g.members[1]
	g.eventually("it is moved", func() bool { return leader.Move(ctx, shard, leader.o.Address) == nil })
	before := leader.Counts()
	const size = 10 << 10
	g.eventually("what is published is counted by who forwards it and by the leader, who sends it to both others", func() bool {
		g.publish(other, "orders", string(make([]byte, size)), 1) // at once if another one led for a moment
		return leader.Counts().Sent["log"] >= before.Sent["log"]+2*size && other.Counts().Sent["publishes"] >= size
	})
	var saves histogram.Snapshot
	if after := leader.Counts(); !after.Saves.AddTo(&saves) {
		t.Errorf("the leader has counted %d saves", saves.Count)
	}
	g.eventually("it is moved on", func() bool { return leader.Move(ctx, shard, other.o.Address) == nil })
	g.eventually("the other leads", func() bool {
		of := other.Counts().Shards[shard]
		return of.Elections > 0 && of.Changes > 0
	})
	g.eventually("the first has led", func() bool { return leader.Counts().Shards[shard].Elections > 0 })
}
