package server

import (
	"errors"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/names"
	"qmq/internal/redact"
	"qmq/protocol"
	"qmq/server/stream"
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
	err := s.findConsumer(topicName, channelName)
	if errors.Is(err, channel.ErrExiting) {
		if waitFor(s.tcp.stop, resubscribeAfter) {
			return stream.ErrStopping
		}
		err = s.findConsumer(topicName, channelName)
	}
	if err != nil {
		return s.subscribeError(err, topicName, channelName)
	}
	s.frames.headers, s.frames.traces = s.terms.headers, s.traces // nobody takes before there is a consumer
	s.frames.topic, s.frames.channel = topicName, channelName
	s.consumer.Store(&s.joined)
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

// findConsumer joins the channel, which is created if need be.
func (s *session) findConsumer(topicName, channelName string) error {
	k, left, err := s.tcp.broker.Subscribe(topicName, channelName, broker.SubscribeOptions{
		ConsumerOptions: channel.ConsumerOptions{
			ID:             s.id,
			MsgTimeout:     s.msgTimeout,
			DefaultTimeout: s.defaultTimeout,
			SampleRate:     s.terms.sampleRate,
			Locality:       s.locality(),
			Wake:           s.wake,
			Closed:         s.shut,
		},
		Tail:         s.tail,
		Headers:      s.terms.headers || s.traces != nil,
		AnswerFailed: s.answerFailed,
	})
	if err != nil {
		return err
	}
	s.joined, s.left = k, left
	return nil
}

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
