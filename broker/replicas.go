package broker

import (
	"context"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/histogram"
	"qmq/message"
	"qmq/topic"
)

// A topic is local, which this node alone has, or replicated, which it keeps
// together with others. Clients need not know: the methods of this file and of
// publish.go, subscribe.go and change.go are for both kinds.

// Publisher takes what is published to one topic. A *topic.Topic is one.
type Publisher interface {
	// Name is the topic's name.
	Name() string
	// Stamp is what is to be said of the messages of a batch that is about to be made,
	// each before it is added; nil: nothing. It does not wait.
	Stamp() *topic.Stamp
	// Publish stores the records, all or none, and returns when they are as safe
	// as is promised. They are the caller's again. channel.ErrExiting means that
	// the topic is gone: another of its name may be there.
	Publish(records *diskqueue.Batch) error
}

// Numbered is a Publisher whose messages' ids can be told. A *topic.Topic is one. When its
// Publish has returned nil, Batch.First of a batch that was asked for it is the number of its
// first message; 0: it is not known.
type Numbered interface {
	Publisher
	// IDPrefix is what the ids of all messages begin with.
	IDPrefix() uint16
}

// Starter is a Publisher whose publishes take a while, as others have a part in them,
// and may overlap.
type Starter interface {
	Publisher
	// Start is Publish but for the wait: what is started first is stored first, and
	// the records are the caller's again when it returns. wait, to be called once,
	// returns what Publish would. ok is false, and nothing has begun, where that
	// cannot be told without a wait, as for a topic that is not there yet: Publish
	// does it then.
	Start(records *diskqueue.Batch) (wait func() error, ok bool)
}

// Consumer is a subscription to a channel. A *channel.Consumer is one, and says
// what the methods do. Take and TakeCached must not be called concurrently with
// one another, all others may be called at any time; none but Take waits.
type Consumer interface {
	SetReady(n int64)
	Take(s channel.Sink, limit int) (n int)
	TakeCached(s channel.Sink, limit int) (n int)
	Parked() bool
	Answer(answers []channel.Answer)
	Stats() channel.ConsumerStats
	Close()
}

// Confirmer is a Consumer whose channel may be served by another node.
type Confirmer interface {
	// Confirm waits until it is known of all answers that were given before what became of
	// them: SubscribeOptions.AnswerFailed has been called with those that failed. What
	// nobody could apply because another node serves the channel now, that one is told of,
	// and it counts as done. The error is that of ctx.
	Confirm(ctx context.Context) error
}

// Settler is a Consumer whose channel may be served by another node, which may be gone.
type Settler interface {
	// Settle returns a channel that is closed when whoever serves the consumer's channel has
	// heard which RDY count it has, and all that was there for it has come. Of a consumer
	// that is closed it never is. Of calls the last one counts.
	Settle() <-chan struct{}
	// Settled tells, after a Take, whether that was still so when it began: what had come is
	// lost to a consumer that goes to whoever serves the channel next.
	Settled() bool
}

// SubscribeOptions are those of one who consumes.
type SubscribeOptions struct {
	channel.ConsumerOptions
	// Tail is for one who only looks at what comes, see topic.TailChannel.
	Tail bool
	// Headers asks for the attributes of messages, which channel.Message has otherwise only
	// where the channel is served by this node.
	Headers bool
	// AnswerFailed is called with each answer that turns out to have failed after
	// Consumer.Answer has returned without an error for it, which happens where
	// the channel is served by another node. It must not block, nor call the
	// consumer, and is not called after Close has returned.
	AnswerFailed func(channel.Answer)
}

// Messages are those of a channel, for people who look after it. A *channel.Channel is
// one, and says what the methods do.
type Messages interface {
	Peek(o channel.PeekOptions, show func(channel.Peeked, message.View) error) (total int, err error)
	Message(id message.ID, show func(message.View) error) error
	Finish(id message.ID) error
	Requeue(id message.ID) error
}

// Replicas are the replicated topics of a node. All methods may be called
// concurrently. Those that need the one who serves a topic wait for it, for a
// bounded time. Errors are those of the broker for local topics, or say why it
// cannot be done now. channel.ErrExiting may also mean that a topic is local, as the node
// has just heard: Replicated says so then.
type Replicas interface {
	// Replicated says whether the topic of that name is replicated, or would be if
	// it were made. It does not wait.
	Replicated(topic string) bool
	// Publisher finds a topic; with create it is made if need be. Without, the error
	// is also topic.ErrNoAutoCreate.
	Publisher(topic string, create bool) (Publisher, error)
	// Subscribe adds a consumer, whose channel and topic are made if need be when
	// create says so and it is no tail. It is the end of an ephemeral channel if the
	// last consumer closes.
	Subscribe(topic, channel string, create bool, o SubscribeOptions) (Consumer, error)
	// Change makes a change of the topology. One with Local set says that a topic
	// that is about to be created is not to be replicated.
	Change(Change) error
	// Channel finds the messages of a channel.
	Channel(topic, channel string) (Messages, error)
	// Cancel has the one who serves a topic do what topic.Topic.Cancel says: what was OK'd
	// at any node is known to it.
	Cancel(topic string, id message.ID) (topic.Cancellation, error)
	// Look looks at the log of a topic, which may be used until release is called.
	Look(topic string) (l *topic.Look, release func(), err error)
	// Names are those of all replicated topics, sorted.
	Names() []string
	// Topic tells of the topic of that name; ok is false when there is none.
	Topic(name string) (r Replica, ok bool)
	// Health is nil when they are served here, or else why not.
	Health() error
}

// Replica is a replicated topic as this node sees it, at one moment.
type Replica struct {
	Name string
	// Served is the topic at the node that serves it, its leader, and nil at all
	// others.
	Served *topic.Topic
	// Channels are all channels, sorted by name.
	Channels []ReplicaChannel
	Paused   bool
	Settings string // what was set of it, see state.Topic
	IDBytes  int64  // of memory on this node, of the ids by which doubles of it are known

	Shard   uint32 // that it is in
	Leader  string // the node that serves it; empty when none is known
	Term    uint64 // of the leader
	Applied uint64 // the index of the last entry that this node has applied
	Lag     uint64 // how many entries it knows to be committed and has not applied
}

// Role is what the node is for the topic.
func (r *Replica) Role() string {
	if r.Served != nil {
		return "leader"
	}
	return "follower"
}

// ReplicaChannel is a channel of a Replica.
type ReplicaChannel struct {
	Name     string
	Paused   bool
	Settings string // what was set of it, see state.Topic
	// Until, Leaves and Rewound are those of a state.Channel; Done says of a bounded channel
	// that it has had everything, as far as this node has applied.
	Until, Rewound uint64
	Leaves, Done   bool
	// Consumers are those that are connected to this node, whoever serves the
	// topic, by ID.
	Consumers []channel.ConsumerStats
}

// replicas is who keeps the topic of that name together with others; nil for a
// local topic.
func (b *Broker) replicas(name string) Replicas {
	if r := b.o.Replicas; r != nil && r.Replicated(name) {
		return r
	}
	return nil
}

// Disk is what logs in the data directory have in common.
func (b *Broker) Disk() *diskqueue.Shared { return b.disk }

// Timings are how long the node's work on the disk took, also what failed. Nobody but the
// broker adds to them.
type Timings struct {
	LogWrites, LogSyncs         *histogram.Histogram // of segments
	JournalWrites, JournalSyncs *histogram.Histogram
}

// Timings are the broker's.
func (b *Broker) Timings() (t Timings) {
	t.LogWrites, t.LogSyncs = b.disk.Timings()
	t.JournalWrites, t.JournalSyncs = b.journal.Timings()
	return t
}

// TopicCommon is what topics of this node have in common.
func (b *Broker) TopicCommon() *topic.Common { return b.common }

// ReplicaNames are the names of all replicated topics, sorted.
func (b *Broker) ReplicaNames() []string {
	if b.o.Replicas == nil {
		return nil
	}
	return b.o.Replicas.Names()
}

// Replica tells of a replicated topic; ok is false when there is none of that name.
func (b *Broker) Replica(name string) (r Replica, ok bool) {
	if b.o.Replicas == nil {
		return r, false
	}
	return b.o.Replicas.Topic(name)
}

// Look looks at the log of a topic, which may be used until release is called. The error
// is ErrNoTopic or why the log cannot be read.
func (b *Broker) Look(topicName string) (l *topic.Look, release func(), err error) {
	if r := b.replicas(topicName); r != nil {
		return r.Look(topicName)
	}
	t, err := b.existing(topicName)
	if err != nil {
		return nil, nil, err
	}
	return t.Look(), func() {}, nil
}

// Cancel cancels a message, see topic.Topic.Cancel. The error is ErrNoTopic,
// channel.ErrNoMessage, or why it is not known whether it is cancelled.
func (b *Broker) Cancel(topicName string, id message.ID) (topic.Cancellation, error) {
	if r := b.replicas(topicName); r != nil {
		return r.Cancel(topicName, id)
	}
	t, err := b.existing(topicName)
	if err != nil {
		return topic.Cancellation{}, err
	}
	return t.Cancel(id)
}

// Channel finds the messages of a channel. The error is ErrNoTopic,
// topic.ErrNoChannel or why the topic is not served.
func (b *Broker) Channel(topicName, channelName string) (Messages, error) {
	if r := b.replicas(topicName); r != nil {
		return r.Channel(topicName, channelName)
	}
	t, err := b.existing(topicName)
	if err != nil {
		return nil, err
	}
	c, ok := t.ExistingChannel(channelName)
	if !ok {
		return nil, topic.ErrNoChannel
	}
	return c, nil
}

// existing finds a local topic. The error is ErrNoTopic or why it is not served.
func (b *Broker) existing(name string) (*topic.Topic, error) {
	if t, ok := b.Existing(name); ok {
		return t, nil
	}
	if err := b.Unopenable(name); err != nil {
		return nil, err
	}
	return nil, ErrNoTopic
}
