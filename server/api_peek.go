package server

import (
	"net/http"
	"net/url"
	"strconv"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/message"
)

// peekBody is how much of a body peek shows, in bytes.
const peekBody = 64 << 10

// How many messages peek shows unless it is told otherwise, and at most.
const (
	peekUsual = 10
	peekMost  = 100
)

// The answer to /channel/peek.
type (
	peekAnswer struct {
		Messages []peekedMessage `json:"messages"`
		// Total is how many messages of the state there are.
		Total int `json:"total"`
	}

	peekedMessage struct {
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
)

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
// base64. What is finished while peek reads is left out.
//
// Errors, in this order: 400 INVALID_REQUEST, MISSING_ARG_TOPIC,
// INVALID_ARG_TOPIC, MISSING_ARG_CHANNEL, INVALID_ARG_CHANNEL; 404
// TOPIC_NOT_FOUND, CHANNEL_NOT_FOUND; 400 INVALID_STATE, INVALID_LIMIT; 500
// INTERNAL_ERROR when a message cannot be read.
func (h *HTTP) peek(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, name, err := h.channelParameters(r)
	if err != nil {
		return nil, err
	}
	c, ok := t.ExistingChannel(name)
	if !ok {
		return nil, errChannelNotFound
	}
	state, limit, err := peekParameters(r.URL.Query()) // which parsed before
	if err != nil {
		return nil, err
	}
	a := peekAnswer{Messages: []peekedMessage{}}
	a.Total, err = c.Peek(state, limit, func(m channel.Peeked, v message.View) error {
		a.Messages = append(a.Messages, h.peeked(state, m, v))
		return r.Context().Err() // the client may have gone
	})
	return a, err
}

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
		return state, peekUsual, nil
	}
	limit, err = strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > peekMost {
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

// peeked is what peek says of a message. It copies what it keeps of the body.
func (h *HTTP) peeked(state channel.PeekState, m channel.Peeked, v message.View) peekedMessage {
	p := peekedMessage{
		ID:        string(m.ID[:]),
		Timestamp: v.Timestamp,
		Attempts:  m.Attempts,
		Size:      len(v.Body),
		State:     peekStates[state],
		Body:      append([]byte{}, v.Body[:min(len(v.Body), peekBody)]...),
		Truncated: len(v.Body) > peekBody,
	}
	left := max(0, m.Left/1e6)
	switch state {
	case channel.PeekDeferred:
		p.DueMs = &left
	case channel.PeekInFlight:
		p.DeadlineMs = &left
		if s := h.tcp.session(m.Consumer); s != nil { // else it has just left
			p.ClientID, p.Address = s.name()
		}
	}
	return p
}

// name is what the client calls itself, and its address.
func (s *session) name() (id, remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.id, s.remote
}
