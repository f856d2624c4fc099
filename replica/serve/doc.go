// Package serve is what a node does for its replicated topics beside keeping their
// logs: it brings what is published here to the shard's leader and waits until it is
// applied; at the leader it makes entries of what comes from all nodes, and serves the
// topics' channels.
//
// A Node is made of shards. A shard knows who leads, and hears what is applied. While
// another node leads, or none, it has Producers alone, one for each topic that is
// published to here; while this node leads it has a Serving too, which begins with a
// term and is thrown away at its end.
//
//	Publish ──> Producer ──parts──> Serving of the leader ──entry──> raft
//	   ^                                                               │ majority
//	   └──────── fate <── shard.Applied <── the node's own machine <───┘
//
// Publishers, links and the shard's own goroutine do the work. There are two kinds of
// goroutines: one that proposes changes of channels' state that no publish has carried
// along, while it does so, and one that ends a Serving. Close waits for them.
package serve
