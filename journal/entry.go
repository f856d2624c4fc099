package journal

import "qmq/internal/seqset"

// Op says what an Entry does.
type Op uint8

// The operations on the topology. Numbers are on disk: never reuse one.
const (
	CreateTopic    Op = iota + 1 // Topic, Name, FanOut: its first number, Unlearnt
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
	GiveUp                       // Topic, Void: numbers that no segment will hold any more; From 0: all below To
	LearnTopic                   // Topic: its channels are learnt
	AckDamage                    // Name: what was found damaged and is acknowledged
	ForgetDamage                 // Name: an acknowledgement that is not needed any more
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
	// Unlearnt says of a new topic that it may have channels elsewhere that it
	// has to learn.
	Unlearnt bool
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
	// Deleted and DeletedChannels are the incarnations whose deletion is
	// younger than the checkpoint that was read: their files may still be
	// there. They are listed also when nothing tells of their creation.
	Deleted         map[uint64]bool
	DeletedChannels map[uint64]bool
	// Acknowledged are the names of the AckDamage entries.
	Acknowledged map[string]bool
	// MaxIncarnation is the highest one ever seen, deleted ones included.
	MaxIncarnation uint64
	// Checkpoint is the number of the checkpoint that was read, 0: there was
	// none. CheckpointIncarnation is the highest incarnation that it knew, deleted
	// ones included: what is not above it and not in Topics was deleted.
	Checkpoint, CheckpointIncarnation uint64
	// LostBytes is how much of the files could not be read because it was
	// damaged. The tail that a crash tears is not counted.
	LostBytes int64
	// Incomplete says that a part of what the journal was told is unreadable or
	// missing, in a place that nothing else makes good, so that topics,
	// channels or deletions may be unknown. The tail that a crash tears, and a
	// damaged checkpoint whose predecessor and logs are whole, do not count.
	Incomplete bool
	// Empty says that there was neither a log nor a checkpoint.
	Empty bool
	// SameBoot says that the newest log was written since the machine was
	// started, so that all that was written, and not only what was synced, must
	// still be there.
	SameBoot bool
	// LastLog is the number of the newest log that could be read, 0: there was
	// none. All logs from BootLog on were written since the machine was started,
	// where SameBoot holds.
	LastLog, BootLog uint64
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
	// Unlearnt says that channels that the topic has elsewhere are still to be
	// learnt.
	Unlearnt bool
	// Start is the first number that the topic's log could hold; 0: unknown, the
	// topic was made by a version that did not tell.
	Start uint64
	// GivenUp are the numbers that no segment has to hold any more, sorted and
	// disjoint.
	GivenUp []seqset.Range
	// SyncedEnd is one past the highest number that is known to have survived
	// the end of the machine, WrittenEnd one past the highest that was written
	// to segments in this boot of the machine, and at least SyncedEnd. They may
	// lag by what was written in the last moments; 0: nothing is known.
	SyncedEnd, WrittenEnd uint64
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
