package state

import "qmq/internal/seqset"

// Op says what an Entry does.
type Op uint8

// The operations on the topology. Numbers are on disk: never reuse one.
const (
	CreateTopic      Op = iota + 1 // Topic, Name, FanOut: its first number, Unlearnt
	DeleteTopic                    // Topic
	PauseTopic                     // Topic, FanOut: where the fan-out stands
	UnpauseTopic                   // Topic
	EmptyTopic                     // Topic, FanOut: where the fan-out stands now, Void: what was dropped
	CreateChannel                  // Topic, Channel, Name, Start: the first number it gets; Void.From: the first that it never gets (0: all come), Unlearnt: it goes when it has had all
	DeleteChannel                  // Topic, Channel, FanOut: of the topic at that moment
	PauseChannel                   // Topic, Channel
	UnpauseChannel                 // Topic, Channel
	EmptyChannel                   // Topic, Channel, FanOut: everything below it is done
	SetFanOut                      // Topic, FanOut: what is below was given to channels that are not journalled
	GiveUp                         // Topic, Void: numbers that no segment will hold any more; From 0: all below To
	LearnTopic                     // Topic: its channels are learnt
	AckDamage                      // Name: what was found damaged and is acknowledged
	ForgetDamage                   // Name: an acknowledgement that is not needed any more
	VoidRange                      // Topic, Void: numbers that count no more, in the topic and in all its channels
	ConfigureTopic                 // Topic, Name: all that is set of it, see Topic.Settings
	ConfigureChannel               // Topic, Channel, Name: all that is set of it, see Channel.Settings
	RetainFrom                     // Topic, Start: where what is kept begins though all have finished it; 0: nothing is kept
	RewindChannel                  // Topic, Channel, Start, Void.From: version, Name: what is kept below, see RewindOf
	NeverAgain                     // Topic, Channel, Name: numbers that the channel does not get even after a rewind, see NeverOf

	opEnd
)

// Known says whether this version knows the operation.
func (op Op) Known() bool { return op > 0 && op < opEnd }

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
	// has to learn; of a new channel see CreateChannel.
	Unlearnt bool
}
