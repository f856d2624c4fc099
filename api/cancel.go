package api

import (
	"errors"
	"net/http"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/topic"
)

// cancelMessage is POST /message/cancel?topic=&id=: it acknowledges a message, deferred or not, in all
// channels that have delivered it to nobody. One that no channel has delivered is in none that
// comes later either. It is for administrators. The answer is
//
//	{"id":"…","waiting":true,"channels":[{"channel":"…","result":"cancelled"},…]}
//
// with waiting where the message was in no channel yet, for want of one or because the topic
// is paused; results are the words of topic.Cancelled. Whatever was OK'd before at any member
// of a set is known. Errors: 400 for the names and the id; 404 TOPIC_NOT_FOUND, MESSAGE_NOT_FOUND
// when it is nowhere; 409 NOT_CANCELLED, with the channels, when it is cancelled in none; 503
// when it may be cancelled or not, and it may be said again.
func (h *HTTP) cancelMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := anyTopic(r)
	if err != nil {
		return nil, err
	}
	id, err := idParameter(r.URL.Query()) // which parsed before
	if err != nil {
		return nil, err
	}
	c, err := h.broker.Cancel(name, id)
	switch {
	case errors.Is(err, channel.ErrNoMessage):
		return nil, errMessageNotFound
	case err != nil:
		return nil, notFound(err)
	case c.Waiting || c.Count(topic.IsCancelled) > 0:
		return map[string]any{"id": id.String(), "waiting": c.Waiting, "channels": c.Channels}, nil
	}
	return nil, &httpapi.Error{Status: http.StatusConflict, Code: "NOT_CANCELLED", More: map[string]any{"channels": c.Channels}}
}
