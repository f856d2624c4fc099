package cluster

import (
	"context"
	"encoding/json"
	"errors"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/topic"
)

// Cancel is part of broker.Replicas. The topic's leader does it: there is all that was OK'd,
// and nobody makes a channel meanwhile.
func (s *Set) Cancel(name string, id message.ID) (c topic.Cancellation, err error) {
	r, err := s.running()
	if err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, peekTime)
	defer cancel()
	p := messages{r: r, shard: shardOf(name), topic: name}
	answer, again, err := p.askAbout(ctx, messageQuestion{Topic: name, ID: string(id[:]), Do: messageCancelAll})
	switch {
	case errors.Is(err, topic.ErrNoChannel): // which there is none without a name of
		return c, errOldLeader
	case again && errors.Is(err, channel.ErrNoMessage):
		return c, errMayBeCancelled
	case err != nil:
		return c, err
	}
	if json.Unmarshal(answer, &c) != nil {
		return c, errPeek
	}
	return c, nil
}

// errOldLeader is of a leader that knows nothing of what it is asked for.
var errOldLeader = errors.New("the topic's leader runs an older version; all members need one that knows this; q cluster members shows which")

// errMayBeCancelled is of a message that is nowhere any more, when who was asked before may have
// cancelled it and did not answer.
var errMayBeCancelled = errors.New("the message is not there any more: it was cancelled just now, or was finished before; another member had to be asked meanwhile")

// cancelMessage cancels for a member a message of a topic that this one serves, which again
// says may have been done already.
func (r *run) cancelMessage(name string, id message.ID, again bool) ([]byte, error) {
	t, err := r.node.Topic(name, false)
	var c topic.Cancellation
	if err == nil {
		c, err = t.Cancel(id)
	}
	if again && errors.Is(err, channel.ErrNoMessage) {
		c, err = t.Cancelled(id)
	}
	switch {
	case errors.Is(err, channel.ErrNoMessage):
		return []byte{messageNone}, nil
	case errors.Is(brokerError(err), broker.ErrNoTopic):
		return []byte{messageNoTopic}, nil
	case err != nil: // who is asked again finds what this one did
		return nil, askAgain(err)
	}
	text, err := json.Marshal(&c)
	return append([]byte{messageDone}, text...), err
}
