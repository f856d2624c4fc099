package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/replica/serve"
	"qmq/topic"
)

// Messages of a channel that another member serves are looked at with a call.
//
//	callPeek:    JSON of peekQuestion
//	answer:      total u64, then for each message
//	             id 16 bytes, attempts u16, consumer u64, left i64, timestamp i64, attrLen u16, length u32, attrs, body
//	callMessage: JSON of messageQuestion, about one message
//	answer:      code u8, and of messageShow: timestamp i64, attrLen u16, attrs, body; of messageFlight,
//	             about several: for each u8, 1 when a consumer has it; of others nothing
const (
	peekTime   = 5 * time.Second
	peekHeader = 16 + 2 + 8 + 8 + 8 + 2 + 4
	peekBytes  = 16 << 20 // of an answer: what is beyond is left out
)

type peekQuestion struct {
	Topic   string            `json:"topic"`
	Channel string            `json:"channel"`
	State   channel.PeekState `json:"state"`
	Limit   int               `json:"limit"`
	Order   channel.PeekOrder `json:"order,omitempty"` // members older than this one take it for PeekByTurn
	From    uint64            `json:"from,omitempty"`
}

// remoteMessages are those of a channel that another member serves.
type remoteMessages struct {
	r              *run
	shard          uint32
	topic, channel string
}

// ask asks whoever leads the topic, this member too: then here answers.
func (p *remoteMessages) ask(ctx context.Context, kind byte, question []byte, here func(context.Context, uint64, []byte) ([]byte, error)) (answer []byte, err error) {
	err = insist(ctx, func(ctx context.Context) (err error) {
		switch leader := p.r.watch.leaderOf(p.shard); leader {
		case 0:
			err = fmt.Errorf("shard %d %w", p.shard, errNoShardLeader)
		case p.r.member:
			answer, err = here(ctx, leader, question)
		default:
			answer, err = p.r.s.call(ctx, leader, kind, question)
		}
		return err
	})
	return answer, err
}

// messagesElsewhere finds a channel that another member serves.
func (r *run) messagesElsewhere(topicName, channelName string) (broker.Messages, error) {
	n := shardOf(topicName)
	incarnation, there := r.machines[n].Incarnation(topicName)
	if !there {
		return nil, broker.ErrNoTopic
	}
	view, err := r.machines[n].Topic(incarnation)
	if err != nil {
		return nil, broker.ErrNoTopic
	}
	defer view.Release()
	for _, c := range view.State.Channels {
		if c.Name == channelName {
			return &remoteMessages{r, n, topicName, channelName}, nil
		}
	}
	return nil, topic.ErrNoChannel
}

var errPeek = errors.New("the answer of the leader makes no sense")

// Peek is part of broker.Messages.
func (p *remoteMessages) Peek(o channel.PeekOptions, show func(channel.Peeked, message.View) error) (total int, err error) {
	question, err := json.Marshal(peekQuestion{p.topic, p.channel, o.State, o.Limit, o.Order, o.From})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(p.r.ctx, peekTime)
	defer cancel()
	answer, err := p.ask(ctx, callPeek, question, p.r.peek)
	if err != nil {
		return 0, err
	}
	if len(answer) < 8 {
		return 0, errPeek
	}
	total, answer = int(binary.LittleEndian.Uint64(answer)), answer[8:]
	for len(answer) > 0 {
		peeked, view, rest, err := parsePeeked(answer)
		if err != nil {
			return 0, err
		}
		if err := show(peeked, view); err != nil {
			return total, err
		}
		answer = rest
	}
	return total, nil
}

func parsePeeked(b []byte) (p channel.Peeked, v message.View, rest []byte, err error) {
	if len(b) < peekHeader {
		return p, v, nil, errPeek
	}
	number := binary.LittleEndian
	at := copy(p.ID[:], b)
	p.Attempts = number.Uint16(b[at:])
	p.Consumer = number.Uint64(b[at+2:])
	p.Left = int64(number.Uint64(b[at+10:]))
	v.Timestamp = int64(number.Uint64(b[at+18:]))
	attrs, length := uint64(number.Uint16(b[at+26:])), uint64(number.Uint32(b[at+28:]))
	if b = b[peekHeader:]; uint64(len(b)) < attrs+length {
		return p, v, nil, errPeek
	}
	v.Attrs, v.Body = b[:attrs:attrs], b[attrs:attrs+length]
	return p, v, b[attrs+length:], nil
}

// peek shows another member messages of a channel that this one serves.
func (r *run) peek(_ context.Context, _ uint64, body []byte) ([]byte, error) {
	var q peekQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	t, err := r.node.Topic(q.Topic, false)
	if serve.NotLeader(err) {
		return nil, errNoShardLeader
	}
	if err != nil {
		return nil, err
	}
	c, ok := t.ExistingChannel(q.Channel)
	if !ok {
		return nil, topic.ErrNoChannel
	}
	answer := make([]byte, 8)
	o := channel.PeekOptions{State: q.State, Order: q.Order, From: q.From, Limit: q.Limit}
	total, err := c.Peek(o, func(p channel.Peeked, v message.View) error {
		if len(answer)+len(v.Attrs)+len(v.Body) > peekBytes {
			return nil
		}
		answer = append(answer, p.ID[:]...)
		answer = binary.LittleEndian.AppendUint16(answer, p.Attempts)
		for _, n := range []uint64{p.Consumer, uint64(p.Left), uint64(v.Timestamp)} {
			answer = binary.LittleEndian.AppendUint64(answer, n)
		}
		answer = binary.LittleEndian.AppendUint16(answer, uint16(len(v.Attrs)))
		answer = binary.LittleEndian.AppendUint32(answer, uint32(len(v.Body)))
		answer = append(append(answer, v.Attrs...), v.Body...)
		return nil
	})
	binary.LittleEndian.PutUint64(answer, uint64(total))
	return answer, err
}
