// Package cluster makes a node a member of a set that keeps the same topics: it
// knows who the members are, begins a set and joins one, runs the shards that the
// topics are in, and is their front door for the broker. Which entries are agreed on
// is the business of package replica, what they mean that of replica/machine and
// replica/serve, and how consumers of one member reach another's that of relay.
//
// A member's id is random and is in its data directory: a directory that is wiped
// makes another member, so that no disk that has forgotten its votes can vote again.
// Who the members are is itself agreed on, in group 0, whose leader brings in the
// changes; the topics are in the shards 1 to 12.
//
// Threads: one that begins or joins the set; then one that ticks the shards, one that
// keeps watch (disks, leaders, membership, whether this node is cut off), and one per
// leadership that is moved and per snapshot that is sent. Links and shards have theirs.
package cluster
