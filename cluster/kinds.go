package cluster

import "qmq/cluster/link"

// Kinds of frames between members. They are never given another meaning.
const (
	kindRaft    = link.FirstKind + iota // shard u32, a message of raft
	kindParts                           // of replica/serve
	kindNotices                         // of replica/serve
	kindRelay                           // of relay
	kindDisk                            // how the sender's disk is doing, see watch.go
)

// Kinds of calls between members.
const (
	callStand   byte = iota + 1 // what the other knows of a set, see bootstrap.go
	callOffer                   // a record of a new set, to be kept
	callBegin                   // the set of the record begins
	callJoin                    // to be a member, see membership.go
	callServe                   // of replica/serve
	callPropose                 // an entry for group 0, for its leader
	callTake                    // a snapshot is there to be taken, see snapshots.go and snapshot_take.go
	callPiece                   // a piece of it
	callPeek                    // messages of a channel, see peek.go
	_                           // it was asked whether the other has a topic for itself alone
	callMove                    // leadership of a shard is to go elsewhere
	callStatus                  // what the other knows of its set, see status.go
	callMessage                 // something is done to a message of a channel, see message.go
	callLease                   // messages are answered that the other may have leased, see leases.go
	callRecords                 // messages that were lost on a disk, see mend.go
	callThere                   // of which names there are replicated topics, see names.go
)
