package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/lease"
	"qmq/message"
)

// What clients of /sub say about their messages:
//
//	POST /fin     they are done
//	POST /req     they are to be delivered again, after defer= ms; default 0
//	POST /touch   they need their whole lease again; --max-msg-timeout in all
//
//	topic, channel   those of /sub
//	id               a message; it may come again, and further ids may be lines of the body
//	receipt          that of the answer of /sub: only messages that were leased with it are
//	                 meant, and none that somebody else was given after its lease was over
//
// The answer says of each id, in their order, what became of it:
//
//	{"results":[{"id":"…","ok":true},{"id":"…","ok":false,"error":"NOT_IN_FLIGHT"}]}
//
// Its status is 200 when all is done, and 409 otherwise, with "message":"NOT_ALL_DONE". Errors
// of an id: NOT_IN_FLIGHT: nobody has leased it, because its time is over, it is answered
// already, or the node has been started anew; NOT_OWNER: somebody else has it by now; EXITING;
// UNCONFIRMED: it is taken, but the node that leads the topic has not said that it is done;
// MEMBER_SILENT: the member of a set that may have leased it does not answer. The last two
// may be said again.
//
// Errors: those of /sub for the names; 400 MISSING_ARG_ID, INVALID_ARG_ID, TOO_MANY_IDS,
// INVALID_RECEIPT, INVALID_DEFER; 413 BODY_TOO_BIG.

// maxIDs is how many messages one request may speak of.
const maxIDs = 10_000

// maxIDsBody is the longest body of ids, one a line.
const maxIDsBody = maxIDs * (message.IDSize + 2)

// confirmWithin is how long a request waits for the leader of a topic to apply its answers.
const confirmWithin = 10 * time.Second

func (h *HTTP) fin(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.answerMessages(r, channel.Answer{Op: channel.Finish}, answerParameters)
}

func (h *HTTP) touch(_ http.ResponseWriter, r *http.Request) (any, error) {
	return h.answerMessages(r, channel.Answer{Op: channel.Touch}, answerParameters)
}

func (h *HTTP) req(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	delay, err := spanWithin(q, "defer", 0, h.o.MaxReqTimeout, 0)
	if err != nil {
		return nil, err
	}
	return h.answerMessages(r, channel.Answer{Op: channel.Requeue, Delay: delay}, append(answerParameters, "defer"))
}

var answerParameters = []string{"topic", "channel", "id", "receipt"}[:4:4]

// AnswerResult says what became of what was said of a message.
type AnswerResult struct {
	ID    string `json:"id"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// answerMessages says the same of all messages that a request names.
func (h *HTTP) answerMessages(r *http.Request, say channel.Answer, known []string) (any, error) {
	if err := h.mayConsume(r, known); err != nil {
		return nil, err
	}
	topicName, name, err := channelParameters(r)
	if err != nil {
		return nil, err
	}
	body, err := httpapi.ReadBody(r, maxIDsBody, "BODY_TOO_BIG")
	defer body.Release()
	if err != nil {
		return nil, err
	}
	q := r.URL.Query() // which parsed before
	a := lease.Answers{Topic: topicName, Channel: name}
	if a.List, err = idsOf(q["id"], body.Bytes(), say); err != nil {
		return nil, err
	}
	if a.Receipt, err = receiptParameter(q); err != nil {
		return nil, err
	}
	// What a client said counts, also where it does not wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), confirmWithin)
	defer cancel()
	h.leases.Answer(ctx, &a)
	return resultsOf(a.List)
}

// idsOf are answers for all messages that are named, each once.
func idsOf(parameters []string, body []byte, say channel.Answer) (list []channel.Answer, err error) {
	seen := make(map[message.ID]bool)
	add := func(text string) error {
		id, err := idOf(text)
		switch {
		case err != nil:
			return &httpapi.Error{Status: http.StatusBadRequest, Code: "INVALID_ARG_ID", Why: fmt.Sprintf("%.64q is no id of a message", text),
				More: map[string]any{"allowed": idRule}}
		case len(list) == maxIDs:
			return httpapi.Allowed("TOO_MANY_IDS", fmt.Sprintf("at most %d", maxIDs))
		case !seen[id]:
			seen[id] = true
			say.ID = id
			list = append(list, say)
		}
		return nil
	}
	for _, p := range parameters {
		if err := add(p); err != nil {
			return nil, err
		}
	}
	for line := range bytes.SplitSeq(body, newline) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := add(string(line)); err != nil {
				return nil, err
			}
		}
	}
	if len(list) == 0 {
		return nil, httpapi.Allowed("MISSING_ARG_ID", idRule+", as a parameter or a line of the body")
	}
	return list, nil
}

// receiptParameter is the receipt of the query, 0 if there is none.
func receiptParameter(q url.Values) (uint64, error) {
	v, ok := q["receipt"]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(v[0], 16, 64)
	if err != nil || len(v[0]) != 16 || n == 0 {
		return 0, httpapi.Allowed("INVALID_RECEIPT", "the 16 hexadecimal characters of the answer to /sub")
	}
	return n, nil
}

// resultsOf is the answer.
func resultsOf(answers []channel.Answer) (any, error) {
	results, failed := make([]AnswerResult, 0, len(answers)), false
	for i := range answers {
		a := &answers[i]
		results = append(results, AnswerResult{ID: a.ID.String(), OK: a.Err == nil, Error: answerCode(a.Err)})
		failed = failed || a.Err != nil
	}
	if failed {
		return nil, &httpapi.Error{Status: http.StatusConflict, Code: "NOT_ALL_DONE", More: map[string]any{"results": results}}
	}
	return map[string]any{"results": results}, nil
}

// answerCode is what is said of an id.
func answerCode(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, channel.ErrNotInFlight):
		return "NOT_IN_FLIGHT"
	case errors.Is(err, channel.ErrNotOwner):
		return "NOT_OWNER"
	case errors.Is(err, channel.ErrExiting):
		return "EXITING"
	case errors.Is(err, lease.ErrSilent):
		return "MEMBER_SILENT"
	}
	return "UNCONFIRMED"
}
