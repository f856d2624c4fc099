package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/lease"
)

// maxWait is how long a request of /sub may wait for messages.
const maxWait = 5 * time.Minute

// maxAnswers is how many requests of /sub may have messages at a time that their clients
// have not read.
const maxAnswers = 64

var subParameters = []string{"topic", "channel", "max", "wait", "lease"}

// sub is POST /sub: it gives messages of a channel to who asks, for a time.
//
//	topic, channel   which are made if need be
//	max              how many messages, 1 to --max-rdy-count; default 1
//	wait             ms, up to 300,000: how long the answer waits for the first message; default 0
//	lease            ms, up to --max-msg-timeout: for how long the messages are the
//	                 client's; default: the msg_timeout of the channel, or --msg-timeout
//
// The answer is JSON, see subAnswer, or by Accept multipart/mixed, see multipartMessages, or
// text/event-stream, see streamMessages. It has what there is when the first message is, about
// 1 MiB at most, and no message when wait has passed and, on a set, the topic's leader says
// that it has none. A message is in flight until it is
// answered by /fin, /req or /touch, on whatever connection, or its lease is over; it counts
// as an attempt.
//
// Where the client has gone before the answer is sent, or the answer cannot be written as a
// whole, its messages are available to others at once, as if they had not been given out.
// What the operating system has taken for a client that has gone comes again after the lease.
//
// Errors: 403 CONSUME_NOT_ALLOWED; 400 INVALID_REQUEST, UNKNOWN_PARAMETER, MISSING_ARG_TOPIC,
// INVALID_ARG_TOPIC, MISSING_ARG_CHANNEL, INVALID_ARG_CHANNEL, INVALID_MAX, INVALID_WAIT,
// INVALID_LEASE; 406 NOT_ACCEPTABLE; 404 TOPIC_NOT_FOUND with --auto-create=false; 429
// LIMIT_REACHED with the limit; 503 EXITING when the channel or the node ends, BUSY when nobody
// could look whether there is a message, as too many clients do not read theirs, or UNAVAILABLE
// with why it cannot be done now.
func (h *HTTP) sub(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := h.mayConsume(r, subParameters); err != nil {
		return nil, err
	}
	body, err := httpapi.ReadBody(r, 0, "BODY_NOT_EMPTY") // the parameters are those of the query
	body.Release()
	if err != nil {
		return nil, err
	}
	p, wait, err := h.pollParameters(r)
	if err != nil {
		return nil, err
	}
	answer := answerFor(r.Header)
	if answer == nil {
		return nil, &httpapi.Error{Status: http.StatusNotAcceptable, Code: "NOT_ACCEPTABLE", More: map[string]any{"known": acceptable()}}
	}
	if h.o.Auth != nil {
		p.Still = func() error { return h.o.Auth.Holds(r, roleFor(r)) }
	}
	holder, err := h.leases.Begin(p)
	if err != nil {
		return nil, consumeError(err)
	}
	defer holder.End()
	httpapi.Wait(r)
	return answer(holder, wait, w, r)
}

// mayConsume refuses a request with an unknown parameter, which would make of it something
// else than was meant, and all where sessions are guarded and the API is not.
func (h *HTTP) mayConsume(r *http.Request, known []string) error {
	if h.o.ConsumeRefused != "" {
		return &httpapi.Error{Status: http.StatusForbidden, Code: "CONSUME_NOT_ALLOWED", Why: h.o.ConsumeRefused}
	}
	q, err := query(r)
	if err != nil {
		return err
	}
	return httpapi.RefuseUnknown(r, q, known)
}

// pollParameters are what a request of /sub asks for.
func (h *HTTP) pollParameters(r *http.Request) (p lease.Poll, wait time.Duration, err error) {
	if p.Topic, p.Channel, err = channelParameters(r); err != nil {
		return p, 0, err
	}
	q := r.URL.Query() // which parsed before
	most, err := within(q, "max", 1, h.o.MaxRdyCount, 1, "")
	if err != nil {
		return p, 0, err
	}
	p.Max = int(most)
	if wait, err = spanWithin(q, "wait", 0, maxWait, 0); err != nil {
		return p, 0, err
	}
	if p.Lease, err = spanWithin(q, "lease", time.Millisecond, h.o.MaxMsgTimeout, h.leaseOf(p.Topic, p.Channel)); err != nil {
		return p, 0, err
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	p.Client = lease.Client{Host: host, RemoteAddress: r.RemoteAddr, UserAgent: r.UserAgent(), Secure: r.TLS != nil}
	return p, wait, nil
}

// leaseOf is how long a client that does not say has for a message.
func (h *HTTP) leaseOf(topicName, channelName string) time.Duration {
	if _, inForce, err := h.broker.ChannelConfig(topicName, channelName); err == nil && inForce.MsgTimeout != nil && *inForce.MsgTimeout > 0 {
		return *inForce.MsgTimeout
	}
	return h.o.MsgTimeout
}

// within is a whole number of the query, of a unit that begins with a space, or of none.
func within(q url.Values, name string, least, most, otherwise int64, unit string) (int64, error) {
	v, ok := q[name]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(v[0], 10, 64)
	if err != nil || n < least || n > most {
		return 0, httpapi.Allowed("INVALID_"+strings.ToUpper(name), fmt.Sprintf("%d to %d%s", least, most, unit))
	}
	return n, nil
}

// spanWithin is a number of ms of the query.
func spanWithin(q url.Values, name string, least, most, otherwise time.Duration) (time.Duration, error) {
	ms, err := within(q, name, least.Milliseconds(), most.Milliseconds(), otherwise.Milliseconds(), " ms")
	return time.Duration(ms) * time.Millisecond, err
}

// consumeError is the answer where messages cannot be had.
func consumeError(err error) error {
	var limit *lease.LimitError
	var refusal *httpapi.Error
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &limit):
		return &httpapi.Error{Status: http.StatusTooManyRequests, Code: limitReached, Why: err.Error(), Retry: 1}
	case errors.Is(err, channel.ErrTooManyConsumers):
		return httpapi.Because(http.StatusTooManyRequests, limitReached, err.Error())
	case errors.Is(err, lease.ErrNoRoom):
		return &httpapi.Error{Status: http.StatusServiceUnavailable, Code: "BUSY", Why: err.Error(), Retry: 1}
	case errors.Is(err, lease.ErrClosing):
		return httpapi.ErrClosing
	case errors.Is(err, context.Canceled):
		return &httpapi.Error{Status: statusClientGone, Code: "CLIENT_GONE"}
	}
	return refused(err)
}

// statusClientGone is what the log says where nobody is there to read an answer.
const statusClientGone = 499
