package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/message"
	"qmq/topic"
)

// loggedMessage is a message in the answer to /topic/peek:
//
//	{"first":N,"fan_out":N,"end":N,"messages":[…],"next":N,"scanned":N}
//
// Messages from fan_out on wait in the topic itself, for a first channel or until it is
// unpaused; end is one past the last one. Next and scanned are those of /channel/peek.
type loggedMessage struct {
	ID        string `json:"id"`
	Seq       uint64 `json:"seq"`
	Timestamp int64  `json:"timestamp"`        // of the publish, ns since 1970
	DueAt     int64  `json:"due_at,omitempty"` // of one that was published with a delay, ms since 1970
	Size      int    `json:"size"`             // of the whole body, bytes
	Body      []byte `json:"body"`             // base64
	Truncated bool   `json:"truncated"`

	Headers    []message.ShownHeader `json:"headers,omitempty"`     // also key and priority
	DeadLetter *DeadLetterOrigin     `json:"dead_letter,omitempty"` // of one that a channel gave up
}

// look looks at a topic's log as one of the few who may at a time; release ends that.
func (h *HTTP) look(ctx context.Context, name string) (l *topic.Look, release func(), err error) {
	if !h.peeks.Enter(ctx) {
		return nil, nil, errTooManyPeeks
	}
	l, done, err := h.broker.Look(name)
	if err != nil {
		h.peeks.Leave()
		return nil, nil, notFound(err)
	}
	return l, func() { done(); h.peeks.Leave() }, nil
}

// peekTopic is GET /topic/peek: it shows messages of a topic's log, whether channels have
// finished them or not, as long as their segments are there. It needs no channel and
// changes nothing. Of a replicated topic any member shows what it has applied.
//
//	topic    of an existing one
//	order    oldest (default) or newest
//	limit, from, since, contains   those of /channel/peek
//
// Errors: those of /channel/peek.
func (h *HTTP) peekTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := h.mayPeek(r); err != nil {
		return nil, err
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	name, err := topicParameter(q)
	if err != nil {
		return nil, err
	}
	wish, err := peekParameters(q, h.broker.Clock().Wall())
	if err != nil {
		return nil, err
	}
	return &httpapi.Stream{JSON: true, Write: func(w *bufio.Writer) error {
		l, release, err := h.look(r.Context(), name)
		if err != nil {
			return err
		}
		defer release()
		h.o.Logger.Info("peek", slog.String("topic", name), slog.String("client", r.RemoteAddr))
		if wish.since != 0 {
			if wish.from, err = l.Since(wish.since); err != nil {
				return err
			}
		}
		return writeLook(r.Context(), w, l, wish)
	}}, nil
}

func writeLook(ctx context.Context, w *bufio.Writer, l *topic.Look, wish *peekWish) (err error) {
	fmt.Fprintf(w, `{"first":%d,"fan_out":%d,"end":%d,"messages":`, l.Before(l.End, l.Len()), l.FanOut, l.End)
	scan := scan{peekWish: wish, ctx: ctx, began: time.Now()}
	messages := func(yield func(loggedMessage) bool) {
		err = scan.topic(l, func(m *loggedMessage) error {
			if !yield(*m) {
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
	return scan.writeEnd(w)
}

// topic shows messages of a topic.
func (s *scan) topic(l *topic.Look, show func(*loggedMessage) error) error {
	if s.order == channel.PeekNewest {
		return s.topicDown(l, show)
	}
	_, err := l.Each(s.from, func(v message.View) error {
		wanted, err := s.wants(v.Seq, v.Body)
		if !wanted || err != nil {
			return err
		}
		return show(logged(l, v))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// topicDown goes from the newest message to the oldest, in steps of which each is read
// upwards.
func (s *scan) topicDown(l *topic.Look, show func(*loggedMessage) error) error {
	end := l.End
	if s.from != 0 {
		end = min(end, s.from+1)
	}
	step := uint64(s.limit)
	if len(s.contains) > 0 {
		step = scanStep
	}
	for first := l.Before(l.End, l.Len()); end > first; {
		begin := l.Before(end, step)
		found, err := s.between(l, begin, end)
		if err != nil {
			return err
		}
		for _, m := range slices.Backward(found) {
			if s.shown == s.limit {
				s.next = m.Seq
				return nil
			}
			s.shown++
			if err := show(m); err != nil {
				return err
			}
		}
		end = begin
		if end > first && (s.shown == s.limit || s.scanned >= maxScanned || s.bytes >= maxScannedBytes || time.Since(s.began) > maxScanTime) {
			s.next = l.Before(end, 1)
			return nil
		}
	}
	return nil
}

// between are the messages of [begin, end) that are wanted, upwards.
func (s *scan) between(l *topic.Look, begin, end uint64) (found []*loggedMessage, err error) {
	_, err = l.Each(begin, func(v message.View) error {
		if v.Seq >= end {
			return errEnough
		}
		s.scanned++
		s.bytes += int64(len(v.Body))
		if bytes.Contains(v.Body, s.contains) {
			m := logged(l, v)
			m.Body = bytes.Clone(m.Body)
			if found = append(found, m); len(found) > s.limit+1 {
				found = found[1:] // these are shown first that come last
			}
		}
		return s.ctx.Err()
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// logged is what is told of a message, valid as long as v.
func logged(l *topic.Look, v message.View) *loggedMessage {
	m := &loggedMessage{Seq: v.Seq, Timestamp: v.Timestamp, Size: len(v.Body), Body: v.Body[:min(len(v.Body), maxPeekedBody)], Truncated: len(v.Body) > maxPeekedBody}
	id := message.MakeID(l.IDPrefix, v.Seq)
	m.ID = string(id[:])
	m.DueAt, _ = v.DeliverAt()
	m.Headers, m.DeadLetter = v.ShownDescription(), originOf(&v)
	return m
}

// messageBody is GET /message/body?topic=&id=: the whole body of a message that is still in
// the topic's log, as it is. Errors: 403 PEEK_NOT_ALLOWED; those of the parameters; 404
// TOPIC_NOT_FOUND, MESSAGE_NOT_FOUND; 503 TOO_MANY_PEEKS.
func (h *HTTP) messageBody(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := h.mayPeek(r); err != nil {
		return nil, err
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	name, err := topicParameter(q)
	if err != nil {
		return nil, err
	}
	id, err := idParameter(q)
	if err != nil {
		return nil, err
	}
	return &httpapi.Stream{Write: func(w *bufio.Writer) error {
		l, release, err := h.look(r.Context(), name)
		if err != nil {
			return err
		}
		defer release()
		prefix, seq, _ := id.Split()
		if prefix != l.IDPrefix {
			return errMessageNotFound
		}
		h.o.Logger.Info("peek", slog.String("topic", name), slog.String("message", id.String()), slog.String("client", r.RemoteAddr))
		found := false
		_, err = l.Each(seq, func(v message.View) error {
			if found = v.Seq == seq; found {
				w.Write(v.Body)
			}
			return errEnough
		})
		if !found && (err == nil || errors.Is(err, errEnough)) {
			return errMessageNotFound
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	}}, nil
}
