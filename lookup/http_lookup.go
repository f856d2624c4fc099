package lookup

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"qmq/internal/address"
	"qmq/internal/httpapi"
	"qmq/internal/names"
)

// maxWait is how long a request may wait for a change.
const maxWait = 5 * time.Minute

// question is what GET /lookup asks. Beyond NSQ's it takes access=w, for where to
// publish, index, which is that of an answer that is known, and wait, for how long
// to wait while that one is the last word.
type question struct {
	topic  string
	writes bool
	index  string // empty: no answer is known
	plain  bool   // it is NSQ's, whose answer has no index
	wait   time.Duration
	by     address.Asker
}

func parseQuestion(r *http.Request) (q question, err error) {
	values, err := httpapi.Query(r)
	if err != nil {
		return q, err
	}
	if !values.Has("topic") {
		return q, httpapi.Bad("MISSING_ARG_TOPIC")
	}
	q = question{topic: values.Get("topic"), index: values.Get("index"), by: address.AskerOf(r)}
	q.plain = !values.Has("access") && !values.Has("wait") && q.index == ""
	switch values.Get("access") {
	case "", "r":
	case "w":
		if q.writes = true; !names.Valid(q.topic) {
			return q, httpapi.Allowed("INVALID_ARG_TOPIC", names.Rule)
		}
	default:
		return q, httpapi.Allowed("INVALID_ARG_ACCESS", "r or w")
	}
	q.wait, err = parseWait(values)
	return q, err
}

func parseWait(values url.Values) (time.Duration, error) {
	if !values.Has("wait") {
		return 0, nil
	}
	wait, err := time.ParseDuration(values.Get("wait"))
	if err != nil || wait < 0 || wait > maxWait {
		return 0, httpapi.Allowed("INVALID_ARG_WAIT", fmt.Sprintf("a time of up to %.0fm, such as 30s", maxWait.Minutes()))
	}
	return wait, nil
}

var errTooManyWait = &httpapi.Error{Status: http.StatusServiceUnavailable, Code: "TOO_MANY_WAITERS", Retry: 1,
	More: map[string]any{"limit": maxWaiters}}

func (h *HTTP) lookup(w http.ResponseWriter, r *http.Request) (any, error) {
	q, err := parseQuestion(r)
	if err != nil {
		return nil, err
	}
	if q.plain {
		answer, _, _, err := h.answer(&q)
		return answer, err
	}
	return h.await(r, &q)
}

// await is the answer as soon as it is another one than is known, or when it was
// waited for long enough, or the directory stops.
func (h *HTTP) await(r *http.Request, q *question) (answer any, err error) {
	if q.wait == 0 || q.index == "" {
		answer, _, _, err = h.answer(q)
		return answer, err
	}
	one := h.db.waiters.add(q.topic, q.writes)
	if one == nil {
		return nil, errTooManyWait
	}
	defer h.db.waiters.remove(one)
	timeout := time.NewTimer(q.wait)
	defer timeout.Stop()
	for {
		var index string
		var next int64
		answer, index, next, err = h.answer(q)
		if index != q.index {
			return answer, err
		}
		var changes <-chan time.Time
		if next != noMoment {
			changes = time.After(time.Duration(next - h.db.monotonic()))
		}
		select {
		case <-one.woken:
		case <-changes:
		case <-timeout.C:
			return answer, err
		case <-h.closing:
			return answer, err
		case <-r.Context().Done():
			return answer, err
		}
	}
}

// answer is what there is to say now, with the index of that and the moment at
// which time alone may change it.
func (h *HTTP) answer(q *question) (answer any, index string, next int64, err error) {
	if q.writes {
		w, next := h.db.writers(q.topic, q.by)
		return w, w.Index, next, nil
	}
	l, known := h.db.lookup(q.topic, q.by)
	if q.plain {
		return l, "", noMoment, notFound(&l, known)
	}
	l.Index = l.index(known)
	return l, l.Index, h.db.nextOfReaders(q.topic), notFound(&l, known)
}

// notFound is the refusal of a topic that is not there; nil: it is.
func notFound(l *LookupAnswer, known bool) error {
	if known {
		return nil
	}
	e := &httpapi.Error{Status: http.StatusNotFound, Code: "TOPIC_NOT_FOUND", More: map[string]any{}}
	if len(l.StillOn) > 0 {
		e.More["still_on"] = l.StillOn
	}
	if l.Index != "" {
		e.More["index"] = l.Index
	}
	return e
}
