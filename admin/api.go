package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"qmq/admin/cluster"
	"qmq/internal/httpapi"
)

// This is what both APIs, that of scripts and that of the page, have in common.
// Their handlers are alike; only how an answer is written differs: NSQ's envelope
// for scripts, a sentence for people for the page.

// failure is a refusal. Scripts get the code, the page the code and the text.
type failure struct {
	Status  int
	Code    string
	Text    string // for people
	Message string // what scripts get instead of the code; may be empty
	Retry   int    // s after which to try again; 0: that would not help
}

func (f *failure) Error() string { return f.Text }

// Unwrap is the refusal as scripts get it.
func (f *failure) Unwrap() error {
	return &httpapi.Error{Status: f.Status, Code: cmp.Or(f.Message, f.Code)}
}

// json is the refusal as the page gets it.
func (f *failure) json() []byte {
	text, _ := json.Marshal(struct {
		Code  string `json:"error"`
		Text  string `json:"text"`
		Retry int    `json:"retry_after_s,omitempty"`
	}{f.Code, f.Text, f.Retry}) // strings and numbers always marshal
	return text
}

func badRequest(format string, args ...any) error {
	return &failure{Status: http.StatusBadRequest, Code: "BAD_REQUEST", Text: fmt.Sprintf(format, args...)}
}

// notFound says which part of a view does not exist.
func notFound(v cluster.View) *failure {
	what := "There is no such page."
	switch v.Kind {
	case "topic":
		what = "No node has the topic " + v.Topic + "."
	case "channel":
		what = "No node has the channel " + cluster.Pair{Topic: v.Topic, Channel: v.Channel}.String() + "."
	case "node":
		what = "There is no node " + v.Node + "."
	}
	return &failure{Status: http.StatusNotFound, Code: "NOT_FOUND", Text: what}
}

// mayAct refuses those who may not change things.
func (s *Server) mayAct(r *http.Request) error {
	if s.access.who(r).role != roleAdmin {
		return &failure{Status: http.StatusForbidden, Code: "FORBIDDEN", Text: s.access.refusal()}
	}
	return nil
}

// admins lets only those in who may change things.
func (s *Server) admins(h httpapi.Handler) httpapi.Handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if err := s.mayAct(r); err != nil {
			return nil, err
		}
		return h(w, r)
	}
}

// readBody decodes a body of JSON. To scripts, what is wrong with it is the
// message, as in nsqadmin.
func readBody(r *http.Request, limit int, into any) error {
	read, err := httpapi.ReadBody(r, limit, "BODY_TOO_BIG")
	defer read.Release()
	if read == nil {
		refusal := &failure{Status: http.StatusRequestEntityTooLarge, Code: "BAD_REQUEST", Text: "The body is too long or did not arrive."}
		if known := new(httpapi.Error); errors.As(err, &known) {
			refusal.Status, refusal.Message = known.Status, known.Code
		}
		return refusal
	}
	// What did not arrive shows in what did.
	if err := json.NewDecoder(bytes.NewReader(read.Bytes())).Decode(into); err != nil {
		return &failure{Status: http.StatusBadRequest, Code: "BAD_REQUEST", Text: "The body is no valid JSON: " + err.Error(), Message: err.Error()}
	}
	return nil
}

// pageAnswers writes what a handler answers as the page reads it. Text that is
// JSON already goes as it is.
func (s *Server) pageAnswers(h httpapi.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := h(w, r)
		text, ready := data.([]byte)
		if err == nil && !ready {
			text, err = json.Marshal(data)
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		sendJSON(w, http.StatusOK, text)
	})
}

// refuse tells the page why not. What is no failure is a fault of ours.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var f *failure
	if !errors.As(err, &f) {
		s.o.Logger.Error("answer cannot be made", "path", r.URL.Path, "error", err)
		f = &failure{Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR", Text: "This cannot be shown."}
	}
	f.send(w)
}

// refuseScript sends a refusal in NSQ's envelope, for those who stand before the
// router.
func refuseScript(w http.ResponseWriter, err error) {
	refusal := &httpapi.Error{Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR"}
	errors.As(err, &refusal)
	body, _ := json.Marshal(map[string]string{"message": refusal.Code}) // strings always marshal
	httpapi.Refuse(w, refusal.Status, body)
}

func (f *failure) send(w http.ResponseWriter) {
	if f.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.Retry))
	}
	sendJSON(w, f.Status, f.json())
}

func sendJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text)
}
