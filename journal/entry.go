package journal

import "qmq/internal/seqset"

// Op says what an Entry does.
type Op uint8

// The operations on the topology. Numbers are on disk: never reuse one.
const (
	CreateTopic    Op = iota + 1 // Topic, Name, FanOut
	DeleteTopic                  // Topic
	PauseTopic                   // Topic, FanOut: where the fan-out stands
	UnpauseTopic                 // Topic
	EmptyTopic                   // Topic, FanOut: where the fan-out stands now, Void: what was dropped
	CreateChannel                // Topic, Channel, Name, Start: the first number it gets
	DeleteChannel                // Topic, Channel, FanOut: of the topic at that moment
	PauseChannel                 // Topic, Channel
	UnpauseChannel               // Topic, Channel
	EmptyChannel                 // Topic, Channel, FanOut: everything below it is done
	StandTopic                   // Topic, FanOut: what is below was given to channels that are not journalled
)

// Entry is one change of the topology. Topics and channels are named by their
// incarnations, which are never reused, so that an entry about a deleted one
// cannot touch its successor of the same name. A fan-out position never goes
// back: FanOut counts where it is above what is known.
type Entry struct {
	Op      Op
	Topic   uint64
	Channel uint64
	Name    string
	Start   uint64
	FanOut  uint64
	Void    seqset.Range
}

// OpenMessage is what is remembered of a message that was given to a channel and is
// not finished, where that differs from the rule: one attempt for a message
// below the cursor, none for a deferred one.
type OpenMessage struct {
	Seq      uint64
	Attempts uint16
	Due      int64 // ms since 1970, wall clock; 0 when it may be delivered now
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

// State is what a journal says after replay.
type State struct {
	Topics map[uint64]*TopicState // by incarnation
	// Deleted are the topics whose deletion is younger than the newest
	// checkpoint: their files may still be there.
	Deleted []uint64
	// MaxIncarnation is the highest one ever seen, deleted ones included.
	MaxIncarnation uint64
	// LostBytes is how much of the files could not be read because it was
	// damaged. The tail that a crash tears is not counted.
	LostBytes int64
}

// TopicState is a topic as the journal knows it.
type TopicState struct {
	Incarnation uint64
	Name        string
	Paused      bool
	// FanOut is where the fan-out position stood when it last stood still: it
	// counts while the topic is paused or has no channel.
	FanOut   uint64
	Voids    []seqset.Range // sorted, disjoint
	Channels map[uint64]*ChannelState
}

// ChannelState is a channel as the journal knows it.
type ChannelState struct {
	Incarnation uint64
	Name        string
	Paused      bool
	Start       uint64
	Version     uint64
	Cursor      uint64
	Acked       *seqset.Set // its floor is the channel's
	Open        map[uint64]OpenMessage

	// done says that every number below it is done, whatever changes of the
	// channel say that were taken before it was emptied.
	done uint64
	// kept is the channel's whole state as a record, while no Source speaks
	// for it. Only the writer's own topology has it.
	kept []byte
}
