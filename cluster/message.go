package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"

	"qmq/channel"
	"qmq/message"
	"qmq/topic"
)

// What is done to one message of a channel that another member serves; messageFlight is
// about several, and asks which of them a consumer has.
const (
	messageFlight  = "in flight"
	messageShow    = "show"
	messageFinish  = "finish"
	messageRequeue = "requeue"
	messageCancel  = "cancel"
)

type messageQuestion struct {
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	ID      string `json:"id"`
	Do      string `json:"do"` // one of the words above
	// IDs are those that messageFlight is about.
	IDs []string `json:"ids,omitempty"`
}

// messageAnswer begins with one of these: errors do not go from member to member.
const (
	messageDone byte = iota
	messageNone      // the channel does not hold it
	messageGone      // there is no such channel
	messageHad       // a consumer has it, or had
)

// Message is part of broker.Messages.
func (p *remoteMessages) Message(id message.ID, show func(message.View) error) error {
	answer, err := p.about(id, messageShow)
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
func (p *remoteMessages) Finish(id message.ID) error {
	_, err := p.about(id, messageFinish)
	return err
}

// Requeue is part of broker.Messages.
func (p *remoteMessages) Requeue(id message.ID) error {
	_, err := p.about(id, messageRequeue)
	return err
}

// Cancel is part of broker.Messages.
func (p *remoteMessages) Cancel(id message.ID) error {
	_, err := p.about(id, messageCancel)
	return err
}

func (p *remoteMessages) about(id message.ID, do string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.r.ctx, peekTime)
	defer cancel()
	return p.askAbout(ctx, messageQuestion{Topic: p.topic, Channel: p.channel, ID: string(id[:]), Do: do})
}

func (p *remoteMessages) askAbout(ctx context.Context, q messageQuestion) ([]byte, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	answer, err := p.ask(ctx, callMessage, question, p.r.actOnMessage)
	switch {
	case err != nil:
		return nil, err
	case len(answer) == 0:
		return nil, errPeek
	case answer[0] == messageNone:
		return nil, channel.ErrNoMessage
	case answer[0] == messageGone:
		return nil, topic.ErrNoChannel
	case answer[0] == messageHad:
		return nil, channel.ErrDelivered
	}
	return answer[1:], nil
}

// actOnMessage does for another member something to a message of a channel that this one
// serves.
func (r *run) actOnMessage(_ context.Context, _ uint64, body []byte) ([]byte, error) {
	var q messageQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	t, err := r.node.Topic(q.Topic, false)
	if err != nil {
		return nil, err
	}
	c, ok := t.ExistingChannel(q.Channel)
	if !ok {
		return []byte{messageGone}, nil
	}
	if q.Do == messageFlight {
		return q.inFlight(c)
	}
	var id message.ID
	if len(q.ID) != len(id) {
		return []byte{messageNone}, nil
	}
	copy(id[:], q.ID)
	answer := []byte{messageDone}
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
	switch {
	case errors.Is(err, channel.ErrNoMessage):
		return []byte{messageNone}, nil
	case errors.Is(err, channel.ErrDelivered):
		return []byte{messageHad}, nil
	case errors.Is(err, channel.ErrExiting):
		return []byte{messageGone}, nil
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
		return []byte{messageGone}, nil
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
