package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/message"
)

// maxPeekedBody is how much of a body peek shows, in bytes.
const maxPeekedBody = 64 << 10

// How many messages peek shows unless it is told otherwise, and at most.
const (
	defaultPeeked = 10
	maxPeeked     = 100
)

// maxPeeks is how many peeks there are at a time, and peekWait how long another
// one waits: each holds messages that its client may be slow to read.
const (
	maxPeeks = 2
	peekWait = 5 * time.Second
)

// peekedMessage is a message in the answer to /channel/peek:
//
//	{"messages":[…],"total":N}
//
// where total is how many messages of the state there are.
type peekedMessage struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // of the publish, ns since 1970
	Attempts  uint16 `json:"attempts"`  // deliveries so far
	Size      int    `json:"size"`      // of the whole body, bytes
	State     string `json:"state"`

	// Of a message in flight: who has it, and for how many ms more.
	ClientID   string `json:"client_id,omitempty"`
	Address    string `json:"remote_address,omitempty"`
	DeadlineMs *int64 `json:"deadline_ms,omitempty"`
	// Of a deferred message: in how many ms it is due.
	DueMs *int64 `json:"due_ms,omitempty"`

	Body      []byte `json:"body"` // base64
	Truncated bool   `json:"truncated"`
}

// peek is GET /channel/peek: it shows messages of a channel and changes
// nothing.
//
//	topic, channel   of existing ones
//	state            ready (default): waiting, those that came back first, then
//	                 fresh ones in the order of the log;
//	                 inflight: those that time out first;
//	                 deferred: those that are due first
//	limit            how many messages, 1 to 100; default 10
//
// A body is cut at 64 KiB, so the longest answer has 6.25 MiB of them, as
// base64. What is finished while peek reads is left out. Messages are read while
// they are sent. There are two peeks at a time; another one waits for 5 s.
//
// Errors, in this order: 403 PEEK_NOT_ALLOWED; 400 INVALID_REQUEST, MISSING_ARG_TOPIC,
// INVALID_ARG_TOPIC, MISSING_ARG_CHANNEL, INVALID_ARG_CHANNEL; 404
// TOPIC_NOT_FOUND, CHANNEL_NOT_FOUND; 400 INVALID_STATE, INVALID_LIMIT; 503
// TOO_MANY_PEEKS; 500 INTERNAL_ERROR when a message cannot be read, but for a
// later one, where the answer ends before its end.
func (h *HTTP) peek(_ http.ResponseWriter, r *http.Request) (any, error) {
	if !h.mayPeek(r) {
		h.o.Logger.Warn("peek refused; --http-peek or --http-auth would allow it", slog.String("client", r.RemoteAddr))
		return nil, errPeekNotAllowed
	}
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	c, err := h.broker.Channel(topicName, name)
	if err != nil {
		return nil, notFound(err)
	}
	state, limit, err := peekParameters(r.URL.Query()) // which parsed before
	if err != nil {
		return nil, err
	}
	return &httpapi.Stream{JSON: true, Write: func(w *bufio.Writer) error {
		if !h.peeks.Enter(r.Context()) {
			return errTooManyPeeks
		}
		defer h.peeks.Leave()
		h.o.Logger.Info("peek", slog.String("topic", topicName), slog.String("channel", name), slog.String("state", peekStates[state]), slog.String("client", r.RemoteAddr))
		return h.writePeek(r.Context(), w, c, state, limit)
	}}, nil
}

// mayPeek tells whether the caller may see messages. With credentials, the guard
// has asked for the role.
func (h *HTTP) mayPeek(r *http.Request) bool {
	return h.o.Auth != nil || h.o.Peek || httpapi.Local(r)
}

var errPeekNotAllowed = &httpapi.Error{Status: http.StatusForbidden, Code: "PEEK_NOT_ALLOWED"}

var errTooManyPeeks = &httpapi.Error{Status: http.StatusServiceUnavailable, Code: "TOO_MANY_PEEKS"}

// writePeek writes the answer, message by message.
func (h *HTTP) writePeek(ctx context.Context, w *bufio.Writer, c broker.Peeker, state channel.PeekState, limit int) (err error) {
	total := 0
	w.WriteString(`{"messages":`)
	messages := func(yield func(peekedMessage) bool) {
		total, err = c.Peek(state, limit, func(m channel.Peeked, v message.View) error {
			if !yield(h.peeked(state, m, v)) {
				return errPeekEnds // WriteArray says why
			}
			return ctx.Err() // the client may have gone
		})
	}
	if failed := httpapi.WriteArray(w, messages, "[]"); failed != nil {
		return failed
	}
	if err == nil {
		_, err = fmt.Fprintf(w, `,"total":%d}`, total)
	}
	return err
}

var errPeekEnds = errors.New("the answer cannot be sent")

// peekStates are the names of the states.
var peekStates = [...]string{
	channel.PeekReady:    "ready",
	channel.PeekInFlight: "inflight",
	channel.PeekDeferred: "deferred",
}

func peekParameters(q url.Values) (state channel.PeekState, limit int, err error) {
	state, err = peekState(q)
	if err != nil {
		return 0, 0, err
	}
	if !q.Has("limit") {
		return state, defaultPeeked, nil
	}
	limit, err = strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > maxPeeked {
		return 0, 0, httpapi.Bad("INVALID_LIMIT")
	}
	return state, limit, nil
}

func peekState(q url.Values) (channel.PeekState, error) {
	if !q.Has("state") {
		return channel.PeekReady, nil
	}
	for state, name := range peekStates {
		if q.Get("state") == name {
			return channel.PeekState(state), nil
		}
	}
	return 0, httpapi.Bad("INVALID_STATE")
}

// peeked is what peek says of a message, valid as long as v.
func (h *HTTP) peeked(state channel.PeekState, m channel.Peeked, v message.View) peekedMessage {
	p := peekedMessage{
		ID:        string(m.ID[:]),
		Timestamp: v.Timestamp,
		Attempts:  m.Attempts,
		Size:      len(v.Body),
		State:     peekStates[state],
		Body:      v.Body[:min(len(v.Body), maxPeekedBody)],
		Truncated: len(v.Body) > maxPeekedBody,
	}
	left := max(0, m.Left/1e6)
	switch state {
	case channel.PeekDeferred:
		p.DueMs = &left
	case channel.PeekInFlight:
		p.DeadlineMs = &left
		if c, ok := h.sessions.Client(m.Consumer); ok { // else it has just left
			p.ClientID, p.Address = c.ID, c.RemoteAddress
		}
	}
	return p
}
