// Package relay lets a client consume a replicated topic at any node of a set: its
// session's Consumer is a shell that is attached to a consumer of the channel at the
// topic's leader, on the same node or over the link between nodes. The shell outlives
// leaders: it knows what its client holds and has answered of late, claims that from
// the next leader, or from the same one over the next link, and the client's connection
// goes on. It stores nothing, and it reads no log: messages come from the leader's
// channel.
//
// Its goroutines live only while there is something to do: one per shard attaches
// consumers, one per member sends what they have to say to it, one per relayed client
// delivers to it.
package relay
