package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/budget"
	"qmq/internal/httpapi"
	"qmq/internal/names"
	"qmq/internal/redact"
	"qmq/message"
	"qmq/protocol"
	"qmq/topic"
)

// batches are for publishes over HTTP, which come one by one.
var batches = sync.Pool{New: func() any { return new(diskqueue.Batch) }}

// pub is POST /pub: the body is one message.
func (h *HTTP) pub(w http.ResponseWriter, r *http.Request) (any, error) {
	read, err := httpapi.ReadBody(r, h.o.MaxMsgSize, "MSG_TOO_BIG")
	defer read.Release()
	if err != nil {
		return nil, err
	}
	body := read.Bytes()
	if len(body) == 0 {
		return nil, httpapi.Bad("MSG_EMPTY")
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	meta, err := describe(r.Header, q)
	if err != nil {
		return nil, err
	}
	t, err := h.publishTopic(r, q, &pubParameters)
	if err != nil {
		return nil, err
	}
	delay, err := h.deferParameter(q)
	if err != nil {
		return nil, err
	}
	ttl, err := ttlParameter(q)
	if err != nil {
		return nil, err
	}
	now := h.broker.Clock().Wall()
	meta.Timestamp, meta.DeliverAt, meta.ExpireAt = now, message.DueAt(now, delay), message.ExpireAt(now, delay, ttl)
	return h.publish(t, asksIDs(q), func(b *stampedBatch) { b.Add(meta, body) })
}

// mpub is POST /mpub: the body is many messages, one a line or, with binary,
// laid out as in the MPUB command. All of them are published, or none.
func (h *HTTP) mpub(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.ContentLength > int64(h.o.MaxBodySize) {
		return nil, httpapi.TooBig("BODY_TOO_BIG")
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	meta, common, err := describeAll(r.Header, q)
	if err != nil {
		return nil, err
	}
	t, err := h.publishTopic(r, q, &mpubParameters)
	if err != nil {
		return nil, err
	}
	code, fill := "BODY_TOO_BIG", h.textMessages
	if kind, ok := binaryKind(q); ok {
		code, fill = "BAD_BODY", func(body []byte, failed error) (messages, error) {
			return h.binaryMessages(kind, common, body, failed)
		}
	}
	body, err := httpapi.ReadBody(r, h.o.MaxBodySize, code)
	defer body.Release()
	if err == httpapi.ErrClosing {
		return nil, err
	}
	add, err := fill(body.Bytes(), err)
	if err != nil {
		return nil, err
	}
	if add.need.Messages() == 0 {
		if asksIDs(q) {
			return PublishedIDs{IDs: []string{}}, nil
		}
		return "OK", nil
	}
	if add.need.Memory() > budget.FreeBatch {
		if err := body.Spend(add.need.Memory()); err != nil {
			return nil, err
		}
	}
	ttl, err := ttlParameter(q)
	if err != nil {
		return nil, err
	}
	meta.Timestamp = h.broker.Clock().Wall()
	meta.ExpireAt = message.ExpireAt(meta.Timestamp, 0, ttl)
	return h.publish(t, asksIDs(q), func(b *stampedBatch) {
		b.Grow(add.need)
		b.BeginMulti()
		add.to(b, meta)
		b.EndMulti()
	})
}

// binaryKind reads the binary parameter: with headers, the body is laid out as that of an
// HMPUB, with anything else but a plain no as that of an MPUB.
func binaryKind(q url.Values) (kind protocol.Kind, ok bool) {
	switch v, is := q["binary"]; {
	case !is || v[0] == "false" || v[0] == "0":
		return 0, false
	case v[0] == "headers":
		return protocol.Hmpub, true
	}
	return protocol.Mpub, true
}

// messages are those of one body: what they need, and what adds them to a batch, each
// with the same said of it.
type messages struct {
	need diskqueue.Need
	to   func(b *stampedBatch, m message.Meta)
}

// textMessages finds one message a line; empty lines are none. failed is why
// the body is not whole.
func (h *HTTP) textMessages(body []byte, failed error) (m messages, err error) {
	if failed != nil {
		return m, failed
	}
	for line := range bytes.SplitSeq(body, newline) {
		if len(line) > h.o.MaxMsgSize {
			return m, httpapi.TooBig("MSG_TOO_BIG")
		}
		if len(line) > 0 {
			m.need.Count(line)
		}
	}
	m.to = func(b *stampedBatch, meta message.Meta) {
		for line := range bytes.SplitSeq(body, newline) {
			if len(line) > 0 {
				b.Add(meta, line)
			}
		}
	}
	return m, nil
}

var newline = []byte{'\n'}

// binaryMessages finds messages in the layout of the MPUB or HMPUB command, from the
// count on. What may be missing of the body, for which failed is the reason, must
// lie behind the last message. common are the headers of all of them, encoded; those of
// an HMPUB come behind each one's own.
func (h *HTTP) binaryMessages(kind protocol.Kind, common, body []byte, failed error) (m messages, err error) {
	if failed != nil && len(body) == 0 {
		return m, httpapi.TooBig("BAD_BODY")
	}
	parsed, _, fault := protocol.ParseBatch(kind, body, h.o.limits())
	if fault != nil {
		code := "BAD_BODY"
		if fault.Code == protocol.CodeBadMessage {
			code = "BAD_MESSAGE"
		}
		return m, httpapi.TooBig(code)
	}
	if kind == protocol.Hmpub {
		return describedMessages(parsed, common)
	}
	m.need = needOf(parsed)
	m.to = func(b *stampedBatch, meta message.Meta) {
		for body, ok := parsed.Next(); ok; body, ok = parsed.Next() {
			b.Add(meta, body)
		}
	}
	return m, nil
}

// describedMessages are those of an HMPUB. What they say is read twice, rather than kept for
// all of them.
func describedMessages(parsed protocol.Messages, common []byte) (m messages, err error) {
	each := func(do func(said *message.Meta, headers, body []byte)) error {
		left := parsed
		for n := 0; ; n++ {
			headers, body, ok := left.NextDescribed()
			if !ok {
				return nil
			}
			if len(common) > 0 {
				headers = slices.Concat(headers, common)
			}
			var said message.Meta
			if err := said.Describe(headers); err != nil {
				return invalidHeader(fmt.Errorf("message %d: %w", n, err))
			}
			do(&said, headers, body)
		}
	}
	err = each(func(_ *message.Meta, headers, body []byte) {
		m.need.Count(body)
		m.need.CountHeaders(headers)
	})
	m.to = func(b *stampedBatch, meta message.Meta) {
		_ = each(func(said *message.Meta, _, body []byte) { // which went well before
			said.Timestamp, said.ExpireAt = meta.Timestamp, meta.ExpireAt
			b.Add(*said, body)
		})
	}
	return m, err
}

// PublishedIDs is the answer to a publish with ids=true: the ids of the messages, in their
// order, as consumers see them. They are null where the node cannot tell, which happens on
// a member of a set that got them with a snapshot. That of a double is empty.
// Messages that an ephemeral topic had no room for have none: they are the last ones.
type PublishedIDs struct {
	IDs []string `json:"ids"`
}

// asksIDs reads the ids parameter.
func asksIDs(q url.Values) bool { return q.Has("ids") && flag(q, "ids") }

// idsOfBatch are those of a batch that was stored.
func idsOfBatch(p broker.Publisher, b *diskqueue.Batch) (a PublishedIDs) {
	n, ok := p.(broker.Numbered)
	if !ok || b.First() == 0 && b.Len() > 0 {
		return a
	}
	all, doubles, seq := b.Len()+len(b.Doubles()), b.Doubles(), b.First()
	a.IDs = make([]string, 0, all)
	for i := range all {
		if len(doubles) > 0 && doubles[0] == i {
			a.IDs, doubles = append(a.IDs, ""), doubles[1:]
			continue
		}
		a.IDs = append(a.IDs, message.MakeID(n.IDPrefix(), seq).String())
		seq++
	}
	return a
}

// publish stores what add puts into a batch, and tells the ids if it is asked to.
func (h *HTTP) publish(t broker.Publisher, ids bool, add func(*stampedBatch)) (any, error) {
	b := batches.Get().(*diskqueue.Batch)
	defer func() {
		b.Reset()
		batches.Put(b)
	}()
	if ids {
		b.AskFirst()
	}
	stamped := stampedBatch{Batch: b, stamp: t.Stamp().Begin(b), tracer: h.o.Tracer}
	add(&stamped)
	name := t.Name()
	t, err := h.broker.Publish(t, b)
	stamped.stored(name, err)
	switch {
	case err != nil:
		return nil, refused(err)
	case ids:
		return idsOfBatch(t, b), nil
	}
	return "OK", nil
}

// refused is 503 UNAVAILABLE with the reason why the node cannot do it now, or EXITING when
// there is no other than that the topic is on its way out; 429 where a limit refuses it.
func refused(err error) error {
	var limit *topic.LimitError
	var full *topic.FullError
	switch {
	case errors.As(err, &limit), errors.As(err, &full):
		return httpapi.Because(http.StatusTooManyRequests, limitReached, err.Error())
	case errors.Is(err, topic.ErrNoAutoCreate):
		return errNotMade
	}
	if errors.Is(err, channel.ErrExiting) {
		return httpapi.ErrClosing
	}
	return httpapi.Because(http.StatusServiceUnavailable, "UNAVAILABLE", redact.Paths(err))
}

// limitReached is the code of what a limit refuses; the sentence beside it names the limit.
const limitReached = "LIMIT_REACHED"

// publishTopic gets or creates the topic that the query of a route with these
// parameters names.
func (h *HTTP) publishTopic(r *http.Request, q url.Values, known *publishParameters) (broker.Publisher, error) {
	name, err := topicParameter(q)
	if err != nil {
		return nil, err
	}
	if err := known.refuseMistyped(r, q); err != nil {
		return nil, err
	}
	t, err := h.broker.Publisher(name)
	if err != nil {
		return nil, refused(err)
	}
	return t, nil
}

// topicParameter is the topic's name for routes that know topics only.
func topicParameter(q url.Values) (string, error) {
	v, ok := q["topic"]
	if !ok {
		return "", httpapi.Bad("MISSING_ARG_TOPIC")
	}
	if !names.Valid(v[0]) {
		return "", httpapi.Bad("INVALID_TOPIC")
	}
	return v[0], nil
}

// deferParameter is the delay that the query asks for, 0 if none.
func (h *HTTP) deferParameter(q url.Values) (time.Duration, error) {
	v, ok := q["defer"]
	if !ok {
		return 0, nil
	}
	ms, err := strconv.ParseInt(v[0], 10, 64)
	if err != nil || ms < 0 || ms > h.o.MaxReqTimeout.Milliseconds() {
		return 0, httpapi.Allowed("INVALID_DEFER", fmt.Sprintf("0 to %d ms", h.o.MaxReqTimeout.Milliseconds()))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// maxTTL is the longest time to live, ten years.
const maxTTL = 87_600 * time.Hour

// ttlParameter is the time to live that the query asks for, 0 if none.
func ttlParameter(q url.Values) (time.Duration, error) {
	v, ok := q["ttl"]
	if !ok {
		return 0, nil
	}
	ms, err := strconv.ParseInt(v[0], 10, 64)
	if err != nil || ms < 1 || ms > maxTTL.Milliseconds() {
		return 0, httpapi.Allowed("INVALID_TTL", fmt.Sprintf("1 to %d ms", maxTTL.Milliseconds()))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// needOf is what the messages of an MPUB take in a batch.
func needOf(messages protocol.Messages) (n diskqueue.Need) {
	for body, ok := messages.Next(); ok; body, ok = messages.Next() {
		n.Count(body)
	}
	return n
}
