package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/topic"
)

// What is done to one message of a channel, or topic, that another member serves;
// messageFlight is about several, and asks which of them a consumer has.
const (
	messageFlight  = "in flight"
	messageShow    = "show"
	messageFinish  = "finish"
	messageRequeue = "requeue"
	messageCancel  = "cancel" // in one channel; members of this version ask for the next
	// messageCancelAll is about a message of the topic, whatever its channels are.
	messageCancelAll = "cancel in all channels"
)

type messageQuestion struct {
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	ID      string `json:"id"`
	Do      string `json:"do"` // one of the words above
	// IDs are those that messageFlight is about.
	IDs []string `json:"ids,omitempty"`
	// Again says that another leader, or this one before, was asked and may have done it.
	Again bool `json:"again,omitempty"`
}

// messageAnswer begins with one of these: errors do not go from member to member.
const (
	messageDone    byte = iota
	messageNone         // the channel does not hold it
	messageGone         // there is no such channel
	messageHad          // a consumer has it, or had
	messageNoTopic      // there is no such topic
)

// Message is part of broker.Messages.
func (p *messages) Message(id message.ID, show func(message.View) error) error {
	answer, _, err := p.about(id, messageShow)
	if err != nil {
		return err
	}
	const head = 8 + 2
	if len(answer) < head || len(answer) < head+int(binary.LittleEndian.Uint16(answer[8:])) {
		return errPeek
	}
	_, seq, _ := id.Split()
	body := head + int(binary.LittleEndian.Uint16(answer[8:]))
	return show(message.View{Seq: seq, Timestamp: int64(binary.LittleEndian.Uint64(answer)), Attrs: answer[head:body:body], Body: answer[body:]})
}

// Finish is part of broker.Messages.
func (p *messages) Finish(id message.ID) error {
	_, again, err := p.about(id, messageFinish)
	if again && errors.Is(err, channel.ErrNoMessage) {
		return nil // it went when it was asked for first
	}
	return err
}

// Requeue is part of broker.Messages.
func (p *messages) Requeue(id message.ID) error {
	_, _, err := p.about(id, messageRequeue)
	return err
}

func (p *messages) about(id message.ID, do string) (answer []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(p.r.ctx, peekTime)
	defer cancel()
	return p.askAbout(ctx, messageQuestion{Topic: p.topic, Channel: p.channel, ID: string(id[:]), Do: do})
}

func (p *messages) askAbout(ctx context.Context, q messageQuestion) (answer []byte, again bool, err error) {
	answer, again, err = p.ask(ctx, callMessage, func(again bool) ([]byte, error) {
		q.Again = again
		return json.Marshal(q)
	}, p.r.actOnMessage)
	switch {
	case err != nil:
	case len(answer) == 0:
		err = errPeek
	case answer[0] == messageNone:
		err = channel.ErrNoMessage
	case answer[0] == messageGone:
		err = topic.ErrNoChannel
	case answer[0] == messageHad:
		err = channel.ErrDelivered
	case answer[0] == messageNoTopic:
		err = broker.ErrNoTopic
	default:
		answer = answer[1:]
	}
	return answer, again, err
}

// actOnMessage does for another member something to a message of a channel that this one
// serves.
func (r *run) actOnMessage(ctx context.Context, _ uint64, body []byte) ([]byte, error) {
	var q messageQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	var id message.ID
	if q.Do == messageCancelAll && len(q.ID) == len(id) {
		copy(id[:], q.ID)
		return r.cancelMessage(q.Topic, id, q.Again)
	}
	var answer []byte
	c, err := r.node.Channel(q.Topic, q.Channel)
	if err == nil {
		answer, err = q.act(c)
	}
	if errors.Is(err, channel.ErrNoMessage) { // which was published a moment ago, it may be
		if c, err = r.served(ctx, q.Topic, q.Channel); err == nil {
			answer, err = q.act(c)
		}
	}
	switch err = brokerError(askAgain(err)); {
	case errors.Is(err, topic.ErrNoChannel), errors.Is(err, broker.ErrNoTopic):
		return []byte{messageGone}, nil
	case errors.Is(err, channel.ErrNoMessage):
		return []byte{messageNone}, nil
	case errors.Is(err, channel.ErrDelivered):
		return []byte{messageHad}, nil
	case err != nil:
		return nil, err
	}
	return answer, nil
}

// act does what is asked for.
func (q *messageQuestion) act(c *channel.Channel) (answer []byte, err error) {
	if q.Do == messageFlight {
		return q.inFlight(c)
	}
	var id message.ID
	if len(q.ID) != len(id) {
		return nil, channel.ErrNoMessage
	}
	copy(id[:], q.ID)
	answer = []byte{messageDone}
	switch q.Do {
	case messageShow:
		err = c.Message(id, func(v message.View) error {
			answer = binary.LittleEndian.AppendUint64(answer, uint64(v.Timestamp))
			answer = binary.LittleEndian.AppendUint16(answer, uint16(len(v.Attrs)))
			answer = append(append(answer, v.Attrs...), v.Body...)
			return nil
		})
	case messageFinish:
		err = c.Finish(id)
	case messageRequeue:
		err = c.Requeue(id)
	case messageCancel:
		err = c.Cancel(id)
	default:
		err = errors.New("this is not known here: the node may be older than the one that asks")
	}
	return answer, err
}

// inFlight is the answer to a question which messages consumers have.
func (q *messageQuestion) inFlight(c *channel.Channel) ([]byte, error) {
	ids := make([]message.ID, len(q.IDs))
	for i, text := range q.IDs {
		copy(ids[i][:], text)
	}
	flying, err := c.InFlight(ids)
	if err != nil {
		return nil, err
	}
	answer := []byte{messageDone}
	for _, is := range flying {
		code := byte(0)
		if is {
			code = 1
		}
		answer = append(answer, code)
	}
	return answer, nil
}
