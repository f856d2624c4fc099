package broker

import (
	"errors"

	"qmq/channel"
	"qmq/topic"
)

// errTailOfNothing refuses a tail of a topic that is not there: a tail creates none.
var errTailOfNothing = errors.New("tail refused: there is no such topic")

// Subscribe adds a consumer to a channel, which is made if need be, and its topic,
// unless only a look is wanted. The names must be valid. left, if it is not nil, is
// to be called once after the consumer was closed; it may wait for the journal.
//
// The error is channel.ErrExiting, channel.ErrTooManyConsumers,
// topic.ErrNoAutoCreate, a *topic.LimitError, a *topic.TailError, or why it
// cannot be done now.
func (b *Broker) Subscribe(topicName, channelName string, o SubscribeOptions) (k Consumer, left func(), err error) {
	if r := b.replicas(topicName); r != nil {
		k, err = r.Subscribe(topicName, channelName, !b.o.NoAutoCreate, o)
		if !errors.Is(err, channel.ErrExiting) || r.Replicated(topicName) {
			return k, nil, err
		} // else it has just heard that the topic is local
	}
	t, c, err := b.channelForClient(topicName, channelName, o.Tail)
	if err != nil {
		return nil, nil, err
	}
	local, err := c.Subscribe(o.ConsumerOptions)
	if err != nil {
		return nil, nil, err
	}
	if c.MayEnd() {
		left = func() { t.ConsumerLeft(c) }
	}
	return local, left, nil
}

// channelForClient gets or creates a local topic and a channel of it. A tail creates
// no topic, and no channel that takes messages away from others.
func (b *Broker) channelForClient(topicName, channelName string, tail bool) (*topic.Topic, *channel.Channel, error) {
	if tail {
		t, ok := b.Existing(topicName)
		if !ok {
			return nil, nil, errTailOfNothing
		}
		c, err := t.TailChannelForClient(channelName)
		return t, c, err
	}
	t, err := b.TopicForClient(topicName)
	if err != nil {
		return nil, nil, err
	}
	c, err := t.ChannelForClient(channelName)
	return t, c, err
}
