package serve

import (
	"context"
	"errors"
	"log/slog"

	"qmq/message"
	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/topic"
)

var (
	// ErrNoLeader means that for a while no node led the shard, or none could be
	// reached. What was to be published was refused; only where it had been sent to a
	// leader before, it may turn up all the same.
	ErrNoLeader = errors.New("no leader")
	// ErrNoAnswer means that there is a leader, and that nothing was heard of what was
	// published for long. It may turn up all the same.
	ErrNoAnswer = errors.New("no answer from the leader")
	// ErrNoTopic means that there is no topic of that name.
	ErrNoTopic = errors.New("no such topic")
	// ErrOthersKeep means that a topic was to be deleted at this node, and that it is
	// not deleted: not all have asked for that.
	ErrOthersKeep = errors.New("the other members keep the topic")
	// ErrClosed means that the node stops.
	ErrClosed = errors.New("the node is stopping")

	// errNotLeader is for whoever has to ask the leader, and is not seen outside.
	errNotLeader = errors.New("not the leader")
	// errBusy is for whoever has to try again in a moment, as errNotLeader is.
	errBusy = errors.New("busy")
)

// Options configure a Node.
type Options struct {
	Member uint64 // this node
	// Epoch is higher at each start of the node, and on the disk before it is used.
	Epoch  uint64
	Shards []ShardOptions // by number
	Remote Remote

	// IDPrefix is what the ids of replicated messages begin with on all nodes.
	IDPrefix uint16
	// Common is for topics that are served here. NewIncarnation, Cleaner and FreeSpace
	// are not used; the names of channels that come and go are told to RegisterChannel
	// and UnregisterChannel at the leader alone.
	Common topic.Common

	// Making is called before a publish makes a topic, which it may make itself, with what
	// is to be there before the first message. It may wait; its error is that of the publish.
	// Nil: nothing is called.
	Making func(name string) error

	MaxTopics int // of a shard; 0: no limit
	// Refusable says whether all nodes understand that a full topic refuses what they
	// have sent; until then it takes it. Nil: they do.
	Refusable func() bool
	// Retainable says whether all nodes keep what is to be retained; until then nothing
	// is. Nil: they do.
	Retainable func() bool
	// Deduplicable says whether all nodes leave doubles out; until then they are stored.
	// Nil: they do.
	Deduplicable func() bool
	// Stampable says whether all nodes know that a part says by which settings it was
	// stamped; until then it does not say so to other nodes. Nil: they do.
	Stampable func() bool
	// Timeable says whether all nodes know the time of a shard; until then no entry says it.
	// Nil: they do.
	Timeable func() bool
	// Repeatable says whether all nodes know what is said of a channel that was asked to begin
	// somewhere; until then one that is asked for again begins again. Nil: they do.
	Repeatable func() bool
	// Scarce says that a node has little room on its disk, for which all nodes give up
	// what is only retained. Nil: none ever has.
	Scarce func() bool
	// Names are those that topics must not have; nil: there are none.
	Names  Names
	Logger *slog.Logger
}

// Names knows which topics stay local, of which replicated ones are not made.
type Names interface {
	// Hear returns when this node knows all that was agreed on of names before it was
	// called. It waits for the other nodes, for no longer than ctx.
	Hear(ctx context.Context) error
	// Refused says why there must be no topic of a name, as far as this node knows; nil:
	// there may. It does not wait.
	Refused(name string) *NameError
}

// NameError is why no topic of a name is made: the name is that of local ones.
type NameError struct{ Text string }

func (e *NameError) Error() string { return e.Text }

// ShardOptions is what a shard is made of.
type ShardOptions struct {
	Raft    Raft
	Machine Machine
}

// Raft is a *replica.Shard.
type Raft interface {
	// Propose has data agreed on and applied. done is called once: with what Apply
	// returned, or with an error when it will not be applied as this proposal. It is
	// called after Propose has returned, and holds up no lock; data is the caller's
	// again from then on. Propose does not wait.
	Propose(data []byte, done func(outcome any, err error))
	// ProposeOwn is Propose for an entry that only this node waits for, and behind which
	// others are likely: the others may hear a little later that it is agreed on.
	ProposeOwn(data []byte, done func(outcome any, err error))
}

// Machine is a *machine.Machine: what of a shard is applied on this node. All methods
// may be called concurrently, and do not wait for an Apply that hangs.
type Machine interface {
	// Applied is the position of the last entry that is applied.
	Applied() (index, term uint64)
	// Time is how far the shard's clock has come, ns; 0: it has not begun.
	Time() int64
	// Incarnation finds a topic.
	Incarnation(name string) (topic uint64, ok bool)
	// Topics are the incarnations of all topics, by name.
	Topics() map[string]uint64
	// Topic is a topic at one applied index, to be released. The error is
	// machine.ErrNoTopic or one of the file system.
	Topic(incarnation uint64) (*machine.View, error)
	// Settings is what was set of a topic, as state.Topic has it.
	Settings(incarnation uint64) string
	// Named is the name of a topic, and its Settings.
	Named(incarnation uint64) (name, settings string, ok bool)
	// MaxIncarnation is the highest that was ever given.
	MaxIncarnation() uint64
	// Row is the number that was applied last of what a member published to a topic,
	// and in which of its epochs; zeros when nothing was.
	Row(topic, member uint64) (epoch, number uint64)
	// Asked is through whom the same action was asked for lately.
	Asked(*entry.Action) (asked machine.Asked, ok bool)
	// Retained are the topics of which something is kept though it is finished;
	// RetainFrom and Unretained say from where on it is to be, as machine.Machine does.
	Retained() (topics []uint64)
	RetainFrom(topic uint64, keep machine.Retention, now int64) (from uint64, change bool, err error)
	Unretained(topic uint64) (from uint64, change bool)
	// IsDouble says whether a message that comes now is left out as a double, as far as is
	// applied.
	IsDouble(topic uint64, id *message.Dedup, now int64) bool
	// Doubles is what is known of a topic's doubles.
	Doubles(topic uint64) machine.Doubles
	// NoteDoubles counts n more of them.
	NoteDoubles(topic, n uint64)
	// SetServed says whether a topic is served here, so that the newest of what is
	// appended to its log stays in memory.
	SetServed(topic uint64, served bool)
}

// Remote is the other nodes. Send returns without waiting for the network; the frame
// is not used afterwards.
type Remote interface {
	// SendParts queues a frame for another node's Node.ReceiveParts, on the connection
	// for what is large. Frames come in order; false: this one does not.
	SendParts(to uint64, frame []byte) bool
	// SendNotice is the same for ReceiveNotice, on the connection for what is short.
	SendNotice(to uint64, frame []byte) bool
	// Peers are the other nodes.
	Peers() []uint64
	// Call asks another node's Node.Answer.
	Call(ctx context.Context, to uint64, request []byte) ([]byte, error)
}
