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

// Messages of a channel are those of who serves it, which another member asks with a call.
// Before it answers it knows all that was agreed on when it was asked: what somebody was told
// at another member is shown.
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

// messages are those of a channel, whoever serves it.
type messages struct {
	r              *run
	shard          uint32
	topic, channel string
}

// ask asks whoever leads the topic, this member too: then here answers. Again says that one was
// asked before and may have done it, though it did not answer.
func (p *messages) ask(ctx context.Context, kind byte, question func(again bool) ([]byte, error), here func(context.Context, uint64, []byte) ([]byte, error)) (answer []byte, again bool, err error) {
	asked := false
	err = insist(ctx, func(ctx context.Context) (err error) {
		again = asked
		leader := p.r.watch.leaderOf(p.shard)
		if leader == 0 {
			return noLeader(p.shard)
		}
		body, err := question(again)
		if err != nil {
			return err
		}
		asked = true
		if leader == p.r.member {
			answer, err = here(ctx, leader, body)
		} else {
			answer, err = p.r.s.call(ctx, leader, kind, body)
		}
		return err
	})
	return answer, again, err
}

var errPeek = errors.New("the answer of the leader makes no sense")

// Peek is part of broker.Messages.
func (p *messages) Peek(o channel.PeekOptions, show func(channel.Peeked, message.View) error) (total int, err error) {
	question, err := json.Marshal(peekQuestion{p.topic, p.channel, o.State, o.Limit, o.Order, o.From})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(p.r.ctx, peekTime)
	defer cancel()
	if p.r.watch.leaderOf(p.shard) == p.r.member {
		if c, err := p.r.served(ctx, p.topic, p.channel); err == nil {
			return c.Peek(o, show)
		}
	}
	answer, _, err := p.ask(ctx, callPeek, func(bool) ([]byte, error) { return question, nil }, p.r.peek)
	switch {
	case tells(err, broker.ErrNoTopic): // so it is at the leader, who knows best
		return 0, broker.ErrNoTopic
	case tells(err, topic.ErrNoChannel):
		return 0, topic.ErrNoChannel
	case err != nil:
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

// served is a channel that this member serves, which knows all that was agreed on when it was
// asked for.
func (r *run) served(ctx context.Context, topicName, channelName string) (*channel.Channel, error) {
	if err := r.s.catchUp(ctx, shardOf(topicName)); err != nil {
		return nil, err
	}
	c, err := r.node.Channel(topicName, channelName)
	return c, brokerError(askAgain(err))
}

// peek shows another member messages of a channel that this one serves.
func (r *run) peek(ctx context.Context, _ uint64, body []byte) ([]byte, error) {
	var q peekQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	c, err := r.served(ctx, q.Topic, q.Channel)
	if err != nil {
		return nil, err
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

// askAgain is an error for who asked this member as the leader. One that does not lead, or not
// any more, knows nothing of what is there: who leads is asked again.
func askAgain(err error) error {
	if serve.NotLeader(err) {
		return fmt.Errorf("%w: %w", errNoShardLeader, err)
	}
	return err
}
