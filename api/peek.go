package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
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
//	{"messages":[…],"total":N,"next":N,"scanned":N}
//
// where total is how many messages of the state there are. Next, the number at which a
// next peek goes on, is there with an order unless all were shown; scanned, how many
// messages were looked at, with contains.
type peekedMessage struct {
	ID        string `json:"id"`
	Seq       uint64 `json:"seq"`       // its number
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

	Headers    []message.ShownHeader `json:"headers,omitempty"`     // also key and priority
	DeadLetter *DeadLetterOrigin     `json:"dead_letter,omitempty"` // of one that a channel gave up
}

// peek is GET /channel/peek: it shows messages of a channel and changes
// nothing.
//
//	topic, channel   of existing ones
//	state            ready (default): waiting, those that came back first, then
//	                 fresh ones in the order of the log;
//	                 inflight: those that time out first;
//	                 deferred: those that are due first;
//	                 spent: those that wait to become dead letters
//	limit            how many messages, 1 to 100; default 10
//	order            oldest: by their numbers, upwards; newest: downwards
//	from             with an order: the number at which to begin
//	since            with oldest: publishes at this time (RFC 3339, how long ago: -1h30m, or
//	                 ns since 1970) or later
//	contains         only messages whose body contains this text, up to 256 bytes;
//	                 without an order: oldest. At most 20,000 messages and 64 MiB are
//	                 looked at, for at most 2 s; next says where to go on
//
// A body is cut at 64 KiB, so the longest answer has 6.25 MiB of them, as
// base64. What is finished while peek reads is left out. Messages are read while
// they are sent. There are two peeks at a time; another one waits for 5 s.
//
// Errors, in this order: 403 PEEK_NOT_ALLOWED; 400 INVALID_REQUEST, MISSING_ARG_TOPIC,
// INVALID_ARG_TOPIC, MISSING_ARG_CHANNEL, INVALID_ARG_CHANNEL; 404
// TOPIC_NOT_FOUND, CHANNEL_NOT_FOUND; 400 INVALID_STATE, INVALID_LIMIT, INVALID_ORDER,
// INVALID_FROM, INVALID_SINCE, INVALID_CONTAINS; 503
// TOO_MANY_PEEKS; 500 INTERNAL_ERROR when a message cannot be read, but for a
// later one, where the answer ends before its end.
func (h *HTTP) peek(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := h.mayPeek(r); err != nil {
		return nil, err
	}
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	c, err := h.broker.Channel(topicName, name)
	if err != nil {
		return nil, notFound(err)
	}
	q := r.URL.Query() // which parsed before
	state, err := peekState(q)
	if err != nil {
		return nil, err
	}
	wish, err := peekParameters(q, h.broker.Clock().Wall())
	if err != nil {
		return nil, err
	}
	if err := h.sinceAsNumber(topicName, wish); err != nil {
		return nil, err
	}
	return &httpapi.Stream{JSON: true, Write: func(w *bufio.Writer) error {
		if !h.peeks.Enter(r.Context()) {
			return errTooManyPeeks
		}
		defer h.peeks.Leave()
		h.o.Logger.Info("peek", slog.String("topic", topicName), slog.String("channel", name), slog.String("state", peekStates[state]), slog.String("client", r.RemoteAddr))
		return h.writePeek(r.Context(), w, c, state, wish)
	}}, nil
}

// mayPeek tells whether the caller may see messages. With credentials, the guard
// has asked for the role.
func (h *HTTP) mayPeek(r *http.Request) error {
	if h.o.Auth != nil || h.o.Peek || httpapi.Local(r) {
		return nil
	}
	h.o.Logger.Warn("peek refused; --http-peek or --http-auth would allow it", slog.String("client", r.RemoteAddr))
	return errPeekNotAllowed
}

var errPeekNotAllowed = &httpapi.Error{Status: http.StatusForbidden, Code: "PEEK_NOT_ALLOWED",
	Why: "messages are shown on the node's own machine; with --http-peek to everybody, with --http-auth to who has the role"}

var errTooManyPeeks = &httpapi.Error{Status: http.StatusServiceUnavailable, Code: "TOO_MANY_PEEKS",
	Why: fmt.Sprintf("%d look at messages at a time, and another one waits for %s", maxPeeks, peekWait), Retry: 1}

// writePeek writes the answer, message by message.
func (h *HTTP) writePeek(ctx context.Context, w *bufio.Writer, c broker.Messages, state channel.PeekState, wish *peekWish) error {
	scan := scan{peekWish: wish, ctx: ctx}
	total := 0
	var err error
	w.WriteString(`{"messages":`)
	messages := func(yield func(peekedMessage) bool) {
		total, err = scan.channel(c, state, func(m channel.Peeked, v message.View) error {
			if !yield(h.peeked(state, m, v)) {
				return errPeekEnds // WriteArray says why
			}
			return nil
		})
	}
	if failed := httpapi.WriteArray(w, messages, "[]"); failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `,"total":%d`, total)
	return scan.writeEnd(w)
}

var errPeekEnds = errors.New("the answer cannot be sent")

// peekStates are the names of the states.
var peekStates = [...]string{
	channel.PeekReady:    "ready",
	channel.PeekInFlight: "inflight",
	channel.PeekDeferred: "deferred",
	channel.PeekSpent:    "spent",
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
	return 0, httpapi.Allowed("INVALID_STATE", strings.Join(peekStates[:], ", "))
}

// peeked is what peek says of a message, valid as long as v.
func (h *HTTP) peeked(state channel.PeekState, m channel.Peeked, v message.View) peekedMessage {
	_, seq, _ := m.ID.Split()
	p := peekedMessage{
		ID:        string(m.ID[:]),
		Seq:       seq,
		Timestamp: v.Timestamp,
		Attempts:  m.Attempts,
		Size:      len(v.Body),
		State:     peekStates[state],
		Body:      v.Body[:min(len(v.Body), maxPeekedBody)],
		Truncated: len(v.Body) > maxPeekedBody,

		Headers: v.ShownDescription(), DeadLetter: originOf(&v),
	}
	left := max(0, m.Left/1e6)
	switch state {
	case channel.PeekDeferred:
		p.DueMs = &left
	case channel.PeekInFlight:
		p.DeadlineMs = &left
		if c, ok := h.figures.client(m.Consumer); ok { // else it has just left
			p.ClientID, p.Address = c.ClientID, c.RemoteAddress
		}
	}
	return p
}
