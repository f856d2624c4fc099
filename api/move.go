package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/internal/names"
	"qmq/message"
)

// What one request moves at most.
const (
	maxMoved      = 1000 // messages
	maxMovedBytes = 8 << 20
)

// moveMessages is POST /channel/move: it publishes the oldest messages that wait in a
// channel to another topic and then finishes them in the channel; when there are none of
// them left, those that wait to become dead letters. Who wants all of them moved asks
// again until left is 0. Deferred messages and those in flight stay. A message keeps its
// headers, key and priority, when it expires, and, if it is a dead letter, where it came from.
//
//	topic, channel   of existing ones
//	to               another topic, which is made if need be
//	limit            how many messages, 1 to 1000, which is the default; a request moves 8
//	                 MiB at most, or one message
//	until            only messages below this number
//
// The answer is {"moved":N,"left":N,"next":N}: left counts what waits in the channel, next
// is one past the number of the last message that was moved.
//
// A message is in both topics when the node is killed between the two steps, and consumers
// may get messages that are just being moved: whoever wants neither pauses the channel.
// Errors: those of /channel/peek for the names; 400 INVALID_ARG_TO, INVALID_LIMIT,
// INVALID_UNTIL; those of /pub.
func (h *HTTP) moveMessages(_ http.ResponseWriter, r *http.Request) (any, error) {
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query() // which parsed before
	to, limit, until := q.Get("to"), maxMoved, uint64(message.MaxSeq)
	if !names.Valid(to) || to == topicName {
		return nil, httpapi.Allowed("INVALID_ARG_TO", "another topic: "+names.Rule)
	}
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > maxMoved {
			return nil, httpapi.Allowed("INVALID_LIMIT", fmt.Sprintf("1 to %d", maxMoved))
		}
	}
	if q.Has("until") {
		if until, err = strconv.ParseUint(q.Get("until"), 10, 64); err != nil {
			return nil, httpapi.Allowed("INVALID_UNTIL", "the number of a message")
		}
	}
	c, err := h.broker.Channel(topicName, name)
	if err != nil {
		return nil, notFound(err)
	}
	list, total, err := takeToMove(c, limit, until)
	if err != nil {
		return nil, messageError(err)
	}
	moved := movedAnswer{Left: total}
	if len(list) == 0 {
		return moved, nil
	}
	if err := h.publishMoved(to, list); err != nil {
		return nil, err
	}
	for i := range list {
		if err := c.Finish(list[i].id); err != nil && !errors.Is(err, channel.ErrNoMessage) {
			return nil, messageError(err)
		}
		moved.Next = max(moved.Next, seqOf(list[i].id)+1)
	}
	moved.Moved, moved.Left = len(list), total-len(list)
	return moved, nil
}

// takeToMove lists the messages that are moved next, as many as one request does, and
// says how many there are in all.
func takeToMove(c broker.Messages, limit int, until uint64) (list []movedMessage, total int, err error) {
	size := 0
	for _, state := range []channel.PeekState{channel.PeekReady, channel.PeekSpent} {
		n, err := c.Peek(channel.PeekOptions{State: state, Order: channel.PeekOldest, Limit: limit}, func(m channel.Peeked, v message.View) error {
			switch size += len(v.Body); {
			case slices.ContainsFunc(list, func(x movedMessage) bool { return x.id == m.ID }): // it was spent meanwhile
				return nil
			case len(list) == limit, seqOf(m.ID) >= until, len(list) > 0 && size > maxMovedBytes:
				return errEnough
			}
			list = append(list, movedMessage{m.ID, moving(&v), bytes.Clone(v.Body)})
			return nil
		})
		if total += n; err != nil && !errors.Is(err, errEnough) {
			return nil, 0, err
		}
	}
	return list, total, nil
}

// movedMessage is a message that is moved, in memory of its own.
type movedMessage struct {
	id   message.ID
	meta message.Meta
	body []byte
}

// moving is what of a message goes with it.
func moving(v *message.View) message.Meta {
	m := v.Description()
	m.ExpireAt, _ = v.ExpireAt()
	if d, is := v.DeadLetter(); is {
		m.DeadLetter = &d
	}
	return m
}

// publishMoved publishes messages to the topic that they go to.
func (h *HTTP) publishMoved(to string, list []movedMessage) error {
	p, err := h.broker.Publisher(to)
	if err != nil {
		return refused(err)
	}
	now := h.broker.Clock().Wall()
	_, err = h.publish(p, false, func(b *stampedBatch) {
		for i := range list {
			m := list[i].meta
			m.Timestamp = now
			b.Add(m, list[i].body)
		}
	})
	return err
}

type movedAnswer struct {
	Moved int    `json:"moved"`
	Left  int    `json:"left"`
	Next  uint64 `json:"next,omitempty"`
}
