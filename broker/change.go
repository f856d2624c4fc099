package broker

import (
	"errors"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/state"
	"qmq/topic"
)

// Change is a change of the topology that somebody asks for.
type Change struct {
	Op      state.Op // from CreateTopic to EmptyChannel, VoidRange, or one of settings
	Topic   string
	Channel string // of an operation on a channel
	Tail    bool   // of CreateChannel: see topic.TailChannel
	Local   bool   // of CreateTopic: it is not to be replicated
	// Everywhere, of DeleteTopic: a replicated topic is deleted, not only hidden on
	// the node that was asked.
	Everywhere bool
	// Settings, of ConfigureTopic and ConfigureChannel, are a JSON object of what is to
	// be set; null resets a setting.
	Settings string
	// Void, of VoidRange, are the numbers of messages that are to count no more.
	Void []seqset.Range
	// From, Until, Leaves and Replay, of CreateChannel and RewindChannel, are those of a
	// topic.Operation.
	From, Until string
	Leaves      bool
	Replay      *topic.Replay
}

// Change makes a change of the topology and returns once it is kept. The error
// is ErrNoTopic, topic.ErrNoChannel, channel.ErrExiting, a *topic.LimitError, a
// *topic.TailError, a *topic.PositionError, topic.ErrChannelExists, topic.ErrEphemeral,
// settings.Mistakes, or why it cannot be made now.
func (b *Broker) Change(c Change) error {
	if r := b.o.Replicas; r != nil && (c.Local || r.Replicated(c.Topic)) {
		err := r.Change(c)
		switch isLocal := errors.Is(err, channel.ErrExiting) && !r.Replicated(c.Topic); {
		case isLocal: // as it has just heard
		case err != nil || !c.Local:
			return err
		}
	}
	switch c.Op {
	case state.CreateTopic:
		_, err := b.Topic(c.Topic)
		return err
	case state.DeleteTopic:
		return b.DeleteTopic(c.Topic)
	}
	t, err := b.existing(c.Topic)
	if err != nil {
		return err
	}
	return c.Apply(t)
}

// Apply makes a change to t, which is its topic. It is neither the creation nor the
// deletion of the topic itself.
func (c *Change) Apply(t *topic.Topic) error {
	return t.Do(topic.Operation{
		Op: c.Op, Channel: c.Channel, Tail: c.Tail, Settings: c.Settings, Void: c.Void,
		From: c.From, Until: c.Until, Leaves: c.Leaves, Replay: c.Replay,
	})
}
