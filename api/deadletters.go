package api

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"qmq/broker"
	"qmq/internal/httpapi"
	"qmq/message"
)

// DeadLetterOrigin says where a dead letter comes from, in every answer that shows
// messages of a dead-letter topic. Consumers do not see it.
type DeadLetterOrigin struct {
	Topic     string `json:"topic"`
	Channel   string `json:"channel"`
	ID        string `json:"id"`        // what the message was called there
	Timestamp int64  `json:"timestamp"` // of its publish there, ns since 1970
	Attempts  uint16 `json:"attempts"`  // how often it was delivered
	Reason    string `json:"reason"`    // how the last delivery ended: "requeue" or "timeout"
	Time      int64  `json:"time"`      // when, ms since 1970
}

// originOf is where a message comes from; nil when it is no dead letter.
func originOf(v *message.View) *DeadLetterOrigin {
	if len(v.Attrs) == 0 {
		return nil
	}
	d, ok := v.DeadLetter()
	if !ok {
		return nil
	}
	return &DeadLetterOrigin{
		Topic: d.Topic, Channel: d.Channel, ID: d.ID.String(), Timestamp: d.Published,
		Attempts: d.Attempts, Reason: d.Reason.String(), Time: d.Ended,
	}
}

// deadLetter is a message in the answer to GET /deadletter/list:
//
//	{"messages":[…],"next":"ID"}
//
// where next is the id to go on with, left out when there are no more.
type deadLetter struct {
	ID        string                `json:"id"`
	Timestamp int64                 `json:"timestamp"` // when it became a dead letter, ns since 1970
	Size      int                   `json:"size"`      // of the whole body, bytes
	Origin    *DeadLetterOrigin     `json:"dead_letter"`
	Body      []byte                `json:"body"` // base64
	Truncated bool                  `json:"truncated"`
	Headers   []message.ShownHeader `json:"headers,omitempty"` // also key and priority
}

// deadLetters is GET /deadletter/list: it shows the dead letters of a topic that the
// topic itself or a channel of it still holds, the oldest first, and changes nothing.
//
//	topic   of an existing one
//	from    the id to begin with, as next says; default: the oldest
//	limit   how many messages, 1 to 100; default 10
//
// Of a replicated topic any member shows what it has applied. Bodies are cut at 64 KiB.
// Messages are read while they are sent; a list ends early where many messages of the
// topic are no dead letters: next tells. Errors: those of /topic/peek; 400 INVALID_FROM.
func (h *HTTP) deadLetters(_ http.ResponseWriter, r *http.Request) (any, error) {
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
	from, limit, err := letterParameters(q)
	if err != nil {
		return nil, err
	}
	return &httpapi.Stream{JSON: true, Write: func(w *bufio.Writer) error {
		l, release, err := h.look(r.Context(), name)
		if err != nil {
			return err
		}
		defer release()
		h.o.Logger.Info("dead letters", slog.String("topic", name), slog.String("client", r.RemoteAddr))
		var next uint64
		w.WriteString(`{"messages":`)
		list := func(yield func(deadLetter) bool) {
			next, err = l.DeadLetters(from, limit, func(id message.ID, v message.View) error {
				if !yield(letterShown(id, &v)) {
					return errPeekEnds // WriteArray says why
				}
				return r.Context().Err() // the client may have gone
			})
		}
		if failed := httpapi.WriteArray(w, list, "[]"); failed != nil {
			return failed
		}
		if err == nil && next != 0 {
			w.WriteString(`,"next":"` + message.MakeID(l.IDPrefix, next).String() + `"`)
		}
		w.WriteByte('}')
		return err
	}}, nil
}

func letterShown(id message.ID, v *message.View) deadLetter {
	return deadLetter{
		ID: id.String(), Timestamp: v.Timestamp, Size: len(v.Body), Origin: originOf(v),
		Body: v.Body[:min(len(v.Body), maxPeekedBody)], Truncated: len(v.Body) > maxPeekedBody, Headers: v.ShownDescription(),
	}
}

func letterParameters(q url.Values) (from uint64, limit int, err error) {
	limit = defaultPeeked
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > maxPeeked {
			return 0, 0, httpapi.Allowed("INVALID_LIMIT", fmt.Sprintf("1 to %d", maxPeeked))
		}
	}
	if !q.Has("from") {
		return 0, limit, nil
	}
	id, err := idOf(q.Get("from"))
	if err != nil {
		return 0, 0, httpapi.Allowed("INVALID_FROM", "the id of a message: "+idRule)
	}
	_, from, _ = id.Split()
	return from, limit, nil
}

// putBackAnswer is the answer to POST /deadletter/putback.
type putBackAnswer struct {
	PutBack int            `json:"put_back"`
	Left    map[string]int `json:"left,omitempty"` // how many stay, for which reason
}

// putBack is POST /deadletter/putback: dead letters are published where they came from,
// for that channel alone, and with no attempts; the dead-letter topic, with all its
// channels, has them no more then. Should the node end in between, they are in both.
//
//	topic   of dead letters
//	id      of one of them, as /deadletter/list shows it; or
//	all     true: all that are there now
//
// One whose topic or channel is not on this node stays. Errors: those of the parameters;
// 400 MISSING_ARG_ID; 404 TOPIC_NOT_FOUND, MESSAGE_NOT_FOUND; 409 NOT_PUT_BACK, with the
// reason, when the one that was asked for stays.
func (h *HTTP) putBack(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	name, err := topicParameter(q)
	if err != nil {
		return nil, err
	}
	all, err := whether(q, "all", false)
	if err != nil {
		return nil, err
	}
	if all {
		p, err := h.broker.PutBackAll(name)
		return putBackAnswer{p.Done, p.Left}, notFound(err)
	}
	id, err := idParameter(q)
	if err != nil {
		return nil, err
	}
	p, found, err := h.broker.PutBackOne(name, id)
	switch {
	case err != nil:
		return nil, notFound(err)
	case !found:
		return nil, errMessageNotFound
	}
	return putBackAnswer{PutBack: p.Done}, notPutBack(&p)
}

func notPutBack(p *broker.PutBack) error {
	for why := range p.Left {
		return &httpapi.Error{Status: http.StatusConflict, Code: "NOT_PUT_BACK", Why: why}
	}
	return nil
}

var errNoID = errors.New(idRule + " are wanted")

func idOf(text string) (id message.ID, err error) {
	if len(text) != len(id) {
		return id, errNoID
	}
	copy(id[:], text)
	if _, _, ok := id.Split(); !ok {
		return id, errNoID
	}
	return id, nil
}
