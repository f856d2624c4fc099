package api

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"qmq/broker"
	"qmq/internal/httpapi"
	"qmq/state"
	"qmq/topic"
)

// createFrom is POST /channel/create with from or until: a channel that begins with what is
// in the log, and maybe ends. It answers with a topic.Replay.
//
//	topic, channel
//	from    first (default with until), last, a time (RFC 3339, or how long ago: -1h30m) or
//	        the number of a message
//	until   likewise: the channel is bounded, and gets what lies before alone
//	then    what becomes of a bounded channel that has had everything: keep (default), or
//	        delete, once it has no consumers
//
// Errors: those of the names; 400 INVALID_FROM, INVALID_UNTIL, INVALID_THEN with what is
// allowed; 404 TOPIC_NOT_FOUND; 409 CHANNEL_EXISTS.
func (h *HTTP) createFrom(q url.Values) (any, error) {
	c := broker.Change{
		Op: state.CreateChannel, Topic: q.Get("topic"), Channel: q.Get("channel"),
		From: q.Get("from"), Until: q.Get("until"), Replay: new(topic.Replay),
	}
	for name, text := range map[string]string{"from": c.From, "until": c.Until} {
		if _, err := topic.ParsePosition(text, h.broker.Clock().Wall()); q.Has(name) && err != nil {
			return nil, invalidPosition(name, err)
		}
	}
	switch then := q.Get("then"); {
	case then == "delete" && c.Until != "":
		c.Leaves = true
	case then != "" && then != "keep":
		return nil, httpapi.Allowed("INVALID_THEN", "keep, or delete where there is until")
	}
	err := h.broker.Change(c)
	var position *topic.PositionError
	switch {
	case errors.Is(err, topic.ErrChannelExists):
		return nil, &httpapi.Error{Status: http.StatusConflict, Code: "CHANNEL_EXISTS", Why: "the channel is there already: /channel/rewind has it begin anew"}
	case errors.As(err, &position) && c.Until != "" && position.Of(c.Until) && !position.Of(c.From):
		return nil, invalidPosition("until", err)
	case errors.As(err, &position):
		return nil, invalidPosition("from", err)
	}
	if err = notFound(err); err != nil {
		return nil, err
	}
	return c.Replay, nil
}

// rewindChannel is POST /channel/rewind: it has a channel deliver everything from a position
// on again, while its consumers stay connected. It answers with a topic.Replay.
//
//	topic, channel   of an existing one that is not ephemeral
//	to               first, last, a time (RFC 3339, or how long ago: -1h30m) or the number of
//	                 a message
//
// Errors: those of the names; 400 MISSING_ARG_TO, INVALID_TO with what is allowed,
// EPHEMERAL_CHANNEL; 404 TOPIC_NOT_FOUND, CHANNEL_NOT_FOUND.
func (h *HTTP) rewindChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query() // which parsed before
	if !q.Has("to") {
		return nil, httpapi.Allowed("MISSING_ARG_TO", topic.Positions)
	}
	to := q.Get("to")
	if _, err := topic.ParsePosition(to, h.broker.Clock().Wall()); err != nil {
		return nil, invalidPosition("to", err)
	}
	c := broker.Change{Op: state.RewindChannel, Topic: topicName, Channel: name, From: to, Replay: new(topic.Replay)}
	err = h.broker.Change(c)
	var position *topic.PositionError
	switch {
	case errors.Is(err, topic.ErrEphemeral):
		return nil, &httpapi.Error{Status: http.StatusBadRequest, Code: "EPHEMERAL_CHANNEL", Why: err.Error()}
	case errors.As(err, &position):
		return nil, invalidPosition("to", err)
	}
	if err = notFound(err); err != nil {
		return nil, err
	}
	h.o.Logger.Info("channel rewound", slog.String("topic", topicName), slog.String("channel", name), slog.String("to", to), slog.Uint64("from", c.Replay.From), slog.String("client", r.RemoteAddr))
	return c.Replay, nil
}

var positionCodes = map[string]string{"from": "INVALID_FROM", "until": "INVALID_UNTIL", "to": "INVALID_TO"}

func invalidPosition(parameter string, err error) error {
	return &httpapi.Error{Status: http.StatusBadRequest, Code: positionCodes[parameter], Why: err.Error(), More: map[string]any{"allowed": topic.Positions}}
}
