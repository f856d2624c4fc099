package server

import (
	"errors"
	"time"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/internal/redact"
	"qmq/protocol"
	"qmq/server/stream"
	"qmq/topic"
)

// resubscribeAfter is how long a SUB that met a channel on its way out waits
// before it tries once more.
const resubscribeAfter = 100 * time.Millisecond

// subscribe makes the session a consumer of a channel. The OK is sent before
// anything else happens, so that no message can come before it.
func (s *session) subscribe(topicName, channelName string) error {
	if refused := s.maySubscribe(topicName, channelName); refused != nil {
		return refused
	}
	k, err := s.findConsumer(topicName, channelName)
	if errors.Is(err, channel.ErrExiting) {
		if waitFor(s.tcp.stop, resubscribeAfter) {
			return stream.ErrStopping
		}
		k, err = s.findConsumer(topicName, channelName)
	}
	if err != nil {
		return s.subscribeError(err, topicName, channelName)
	}
	s.consumer.Store(k)
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		s.leave() // shut may not have seen the consumer
	}
	s.setState(protocol.StateSubscribed)
	err = s.conn.Out.Write([]byte(protocol.OKFrame))
	s.wake() // the first Take parks the consumer: only then it is woken
	return err
}

// findConsumer gets or creates the topic and the channel, and joins it.
func (s *session) findConsumer(topicName, channelName string) (*channel.Consumer, error) {
	t, c, err := s.findChannel(topicName, channelName)
	if err != nil {
		return nil, err
	}
	k, err := c.Subscribe(channel.ConsumerOptions{
		ID:         s.id,
		MsgTimeout: s.msgTimeout,
		SampleRate: s.terms.sampleRate,
		Locality:   s.locality(),
		Wake:       s.wake,
		Closed:     s.shut,
	})
	if err != nil {
		return nil, err
	}
	s.topic, s.channel = t, c
	return k, nil
}

// findChannel gets or creates the topic and the channel. A tail creates no
// topic, and no channel that takes messages away from others.
func (s *session) findChannel(topicName, channelName string) (*topic.Topic, *channel.Channel, error) {
	if s.tail {
		t, ok := s.tcp.broker.Existing(topicName)
		if !ok {
			return nil, nil, errTailOfNothing
		}
		c, err := t.TailChannelForClient(channelName)
		return t, c, err
	}
	t, err := s.tcp.broker.TopicForClient(topicName)
	if err != nil {
		return nil, nil, err
	}
	c, err := t.ChannelForClient(channelName)
	return t, c, err
}

var errTailOfNothing = errors.New("tail refused: there is no such topic")

// subscribeError is what the client is told when it cannot be a consumer.
func (s *session) subscribeError(err error, topicName, channelName string) error {
	switch {
	case errors.Is(err, channel.ErrTooManyConsumers):
		return protocol.TooManyConsumers(topicName, channelName, s.tcp.o.MaxChannelConsumers)
	case !errors.Is(err, channel.ErrExiting):
		return protocol.SubFailed(redact.Paths(err))
	case names.IsEphemeral(topicName) || names.IsEphemeral(channelName):
		return protocol.SubFailed("to deleted topic/channel")
	}
	return protocol.SubFailed(channel.ErrExiting.Error())
}
