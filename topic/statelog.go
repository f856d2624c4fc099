package topic

import (
	"qmq/internal/seqset"
	"qmq/state"
)

// StateLog keeps what a topic and its channels have to remember beside the log
// of messages. All methods may be called concurrently.
type StateLog interface {
	// Commit returns when entries are kept, all or none; after an error they
	// are not there.
	Commit(...state.Entry) error
	// Attach makes a source speak for its channel: whoever keeps the state asks
	// it. It is to be called when the channel's creation is committed, or its
	// state restored, and before the first Mark.
	Attach(state.Source)
	// Detach lets a source that speaks for its channel speak a last time.
	Detach(state.Source)
	// Mark says that a source has changes, for which it is asked soon. It
	// neither waits nor calls the source.
	Mark(state.Source)
}

// Agreed is a StateLog of entries that others have a say in when they are applied.
type Agreed interface {
	// CommitStart is StateLog.Commit of an entry that creates or rewinds a channel. It
	// returns the entry as it was applied, with where the channel begins, and what of the
	// log it does not get.
	CommitStart(state.Entry) (applied state.Entry, gone []seqset.Range, err error)
}

// Journal is what a log of messages on the node's own disk needs that the topic
// itself syncs and takes segments out of. All methods may be called concurrently.
type Journal interface {
	// Durable returns when every Commit that returned before is synced. It is
	// called before a log is: no record is to survive without its topic.
	Durable() error
	// CommitDurable is StateLog.Commit that has also synced the entries when it
	// returns.
	CommitDurable(...state.Entry) error
	// NoteEnd notes up to where (exclusive) a topic's log is synced and, at
	// least, written; 0: not known. It does not wait.
	NoteEnd(topic, synced, written uint64)
}
