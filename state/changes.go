package state

import "qmq/internal/seqset"

// OpenMessage is what is remembered of a message that was given to a channel and is
// not finished, where that differs from the rule: one attempt for a message
// below the cursor, none for a deferred one.
type OpenMessage struct {
	Seq      uint64
	Attempts uint16
	// Due is when it may be delivered, ms since 1970, wall clock; 0: now; below 0: not
	// any more, see Spent.
	Due int64
}

// ChannelChanges is the state of a channel: what changed since the changes of
// the version before, or, when Full, all of it.
type ChannelChanges struct {
	Topic, Channel uint64 // incarnations
	// Version grows by one with each call of Source.Changes. Replay skips
	// changes whose version is not above that of the state it has.
	Version uint64
	Full    bool
	Floor   uint64         // every number below it is done
	Cursor  uint64         // every number below it was given out or is deferred
	Acked   []seqset.Range // done numbers at or above Floor
	Open    []OpenMessage
}

// Source is a channel as the journal sees it. Both methods are called from the
// journal's writer goroutine alone, with no lock of the journal held, and what
// they return is read before the next call. They must work on a channel that
// was closed, too.
type Source interface {
	// Changes returns what changed since the last call, or everything when
	// full, and takes it as written: when the write fails the journal asks
	// again with full set.
	Changes(full bool) ChannelChanges
	// Snapshot returns everything, under the version of the last Changes. It
	// takes nothing as written.
	Snapshot() ChannelChanges
}
