package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/julienschmidt/httprouter"
)

// Handler answers a request: an object is sent as JSON, a string or bytes as
// text, a *Stream bit by bit, nil as nothing, and with Answered it has answered itself. An error that is no [Error] is a fault of ours and
// is answered 500 INTERNAL_ERROR.
type Handler func(w http.ResponseWriter, r *http.Request) (any, error)

type answered struct{}

// Answered is what a Handler returns that has written the answer.
var Answered any = answered{}

// Error is the refusal of a request. Its code is the message of the answer, as of NSQ's: capitals,
// digits and underscores, for programs.
type Error struct {
	Status int
	Code   string
	More   map[string]any // further keys of the answer; they always marshal
	// Why, if not empty, is a sentence for people where the code does not say it: the key why
	// of the answer, and in the log.
	Why string
	// Retry is after how many seconds it may be asked again, for the field Retry-After; 0: it
	// is not said.
	Retry int
}

func (e *Error) Error() string { return e.Code }

// Bad is a refusal with status 400.
func Bad(code string) error { return &Error{Status: http.StatusBadRequest, Code: code} }

// Because is a refusal with a sentence for people, which says more than the code.
func Because(status int, code, why string) error {
	return &Error{Status: status, Code: code, Why: why}
}

// Allowed is a refusal with status 400 of a value: the key allowed of the answer says what it may
// be.
func Allowed(code, allowed string) error {
	return &Error{Status: http.StatusBadRequest, Code: code, More: map[string]any{"allowed": allowed}}
}

// TooBig is a refusal with status 413.
func TooBig(code string) error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Code: code}
}

// Internal is a fault of ours.
func Internal() error {
	return &Error{Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR"}
}

// Query reads the parameters, which come from the query string only.
func Query(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Bad("INVALID_REQUEST")
	}
	return q, nil
}

// Param is the part of the path that the route names.
func Param(r *http.Request, name string) string {
	return httprouter.ParamsFromContext(r.Context()).ByName(name)
}

func answer(w http.ResponseWriter, r *http.Request, f Handler) (status int, err error) {
	data, err := f(w, r)
	if err != nil {
		return respondError(w, err), err
	}
	return respond(w, data), nil
}

// respond sends a success.
func respond(w http.ResponseWriter, data any) (status int) {
	head := w.Header()
	head[nsqContentType] = nsqVersion1
	switch data := data.(type) {
	case nil:
		w.WriteHeader(http.StatusOK)
	case answered:
	case string:
		head["Content-Type"] = plainText
		io.WriteString(w, data)
	case []byte:
		head["Content-Type"] = plainText
		w.Write(data)
	case *Stream:
		return data.send(w)
	default:
		body, err := json.Marshal(data)
		if err != nil {
			return respondError(w, err)
		}
		head["Content-Type"] = jsonText
		w.Write(body)
	}
	return http.StatusOK
}

// What the envelope says of every answer, as the header keeps it. Nobody
// changes these.
var (
	nsqVersion1 = []string{"nsq; version=1.0"}
	plainText   = []string{"text/plain; charset=utf-8"}
	jsonText    = []string{"application/json; charset=utf-8"}
)

const nsqContentType = "X-Nsq-Content-Type"

// respondError sends a refusal.
func respondError(w http.ResponseWriter, err error) (status int) {
	refusal := refusalOf(err)
	if refusal.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(refusal.Retry))
	}
	Refuse(w, refusal.Status, refusal.body())
	return refusal.Status
}

// refusalOf is the refusal that err is, or a fault of ours.
func refusalOf(err error) *Error {
	refusal := &Error{Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR"}
	errors.As(err, &refusal)
	return refusal
}

// Text is the JSON of a refusal, for who answers bit by bit.
func Text(err error) []byte { return refusalOf(err).body() }

// body is the answer's JSON.
func (e *Error) body() []byte {
	answer := map[string]any{"message": e.Code}
	if e.Why != "" {
		answer["why"] = e.Why
	}
	maps.Copy(answer, e.More)
	text, _ := json.Marshal(answer)
	return text
}

// Refuse sends a refusal, the JSON text of which is body, for those who stand
// before the router.
func Refuse(w http.ResponseWriter, status int, body []byte) {
	head := w.Header()
	head[nsqContentType] = nsqVersion1
	head["Content-Type"] = jsonText
	w.WriteHeader(status)
	w.Write(body)
}
