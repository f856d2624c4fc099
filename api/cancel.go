package api

import (
	"errors"
	"log/slog"
	"net/http"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/internal/redact"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
	"qmq/topic"
)

// Cancelled is what became of a message in a channel, as POST /message/cancel tells it.
type Cancelled struct {
	Channel string `json:"channel"`
	// Result is cancelled; delivered: a consumer has it, or had, and it stays as it is;
	// not held: it is finished, or never was the channel's; or why that is not known.
	Result string `json:"result"`
}

const (
	isCancelled = "cancelled"
	isDelivered = "delivered"
	isNotHeld   = "not held"
)

// cancelMessage is POST /message/cancel?topic=&id=: it acknowledges a message, deferred or not, in all
// channels that have delivered it to nobody. One that no channel has delivered is in none that
// comes later either. It is for administrators. The answer is
//
//	{"id":"…","waiting":true,"channels":[{"channel":"…","result":"cancelled"},…]}
//
// with waiting where the message was in no channel yet, for want of one or because the topic
// is paused. Errors: 400 for the names and the id; 404 TOPIC_NOT_FOUND, MESSAGE_NOT_FOUND when it is
// nowhere; 409 NOT_CANCELLED, with the channels, when it is cancelled in none; 503.
func (h *HTTP) cancelMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	id, err := idParameter(r.URL.Query()) // which parsed before
	if err != nil {
		return nil, err
	}
	waiting, err := h.waitsInTopic(name, id)
	if err != nil {
		return nil, err
	}
	list, found := h.cancelInChannels(name, id)
	whole := waiting
	if !waiting {
		whole = found[isCancelled] > 0 && found[isCancelled] == len(list)
	}
	if whole {
		_, seq, _ := id.Split()
		err := h.broker.Change(broker.Change{Op: state.VoidRange, Topic: name, Void: []seqset.Range{{From: seq, To: seq + 1}}})
		if err != nil && waiting {
			return nil, notFound(err)
		}
		if err != nil {
			h.o.Logger.Warn("a message that is cancelled may be in channels that come later", slog.String("topic", name), slog.String("id", id.String()), slog.Any("error", err))
		}
	}
	switch {
	case waiting || found[isCancelled] > 0:
		return map[string]any{"id": id.String(), "waiting": waiting, "channels": list}, nil
	case len(list) == found[isNotHeld]:
		return nil, errMessageNotFound
	}
	return nil, &httpapi.Error{Status: http.StatusConflict, Code: "NOT_CANCELLED", More: map[string]any{"channels": list}}
}

// waitsInTopic tells whether a message is in the topic and in no channel yet.
func (h *HTTP) waitsInTopic(name string, id message.ID) (bool, error) {
	l, release, err := h.broker.Look(name)
	if err != nil {
		return false, notFound(err)
	}
	defer release()
	prefix, seq, ok := id.Split()
	return ok && prefix == l.IDPrefix && l.FanOut <= seq && seq < l.End, nil
}

// cancelInChannels cancels a message in all channels of a topic, and counts what came of it.
func (h *HTTP) cancelInChannels(name string, id message.ID) (list []Cancelled, found map[string]int) {
	list, found = []Cancelled{}, make(map[string]int)
	for _, c := range h.channelNames(name) {
		messages, err := h.broker.Channel(name, c)
		if err == nil {
			err = messages.Cancel(id)
		}
		result := isCancelled
		switch {
		case err == nil:
		case errors.Is(err, channel.ErrNoMessage):
			result = isNotHeld
		case errors.Is(err, channel.ErrDelivered):
			result = isDelivered
		case errors.Is(err, topic.ErrNoChannel), errors.Is(err, broker.ErrNoTopic), errors.Is(err, channel.ErrExiting):
			continue // it is gone meanwhile
		default:
			result = redact.Paths(err)
		}
		found[result]++
		list = append(list, Cancelled{Channel: c, Result: result})
	}
	return list, found
}

// channelNames are those of the channels of a topic.
func (h *HTTP) channelNames(name string) (list []string) {
	if r, ok := h.broker.Replica(name); ok {
		for i := range r.Channels {
			list = append(list, r.Channels[i].Name)
		}
		return list
	}
	if t, ok := h.broker.Existing(name); ok {
		for _, c := range t.Channels() {
			list = append(list, c.Name())
		}
	}
	return list
}
