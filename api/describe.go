package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"qmq/internal/httpapi"
	"qmq/message"
)

// What a publisher says of a message is in parameters of the query or in fields of the
// request:
//
//	?key=        X-Q-Key        what it is about, 1 to 255 bytes
//	?priority=   X-Q-Priority   0 to 9
//	?dedup_id=   X-Q-Dedup-Id   what doubles of it are known by; of one message
//	             X-Q-Header-N   the header n, which may come again
//	             traceparent, tracestate
//
// The names of fields have no case: the keys of headers that come so are in lower case.
// Headers are in the order of their keys.
const (
	fieldPrefix  = "X-Q-"
	headerPrefix = "X-Q-Header-"
)

// description is a header that has a parameter or a field of its own, or both.
type description struct{ header, parameter, field string }

var descriptions = [...]description{
	{message.HeaderKey, "key", "X-Q-Key"},
	{message.HeaderPriority, "priority", "X-Q-Priority"},
	{message.HeaderDedupID, "dedup_id", "X-Q-Dedup-Id"},
	{message.HeaderTraceparent, "", "Traceparent"},
	{message.HeaderTracestate, "", "Tracestate"},
}

// knownFields are the fields of a publish that begin with X-Q-.
var knownFields = []string{"X-Q-Key", "X-Q-Priority", "X-Q-Dedup-Id", "X-Q-Header-*"}

// described is what a publish says of its message, or of each of its messages, as encoded
// headers.
func described(fields http.Header, q url.Values) (encoded []byte, err error) {
	if !describes(fields, q) { // as most do
		return nil, nil
	}
	add := func(header string, values []string) {
		for _, v := range values {
			encoded = message.AppendHeader(encoded, header, v)
		}
	}
	for _, d := range descriptions {
		if d.parameter != "" {
			add(d.header, q[d.parameter])
		}
		add(d.header, fields[d.field])
	}
	names, err := headerFields(fields)
	for _, name := range names {
		add(strings.ToLower(name[len(headerPrefix):]), fields[name])
	}
	return encoded, err
}

// describes tells whether a publish says anything of its message.
func describes(fields http.Header, q url.Values) bool {
	if len(q) > 1 { // than the topic
		return true
	}
	for name := range fields {
		if strings.HasPrefix(name, fieldPrefix) || strings.HasPrefix(name, "Trace") {
			return true
		}
	}
	return false
}

// describe is what a publish says of its message.
func describe(fields http.Header, q url.Values) (m message.Meta, err error) {
	encoded, err := described(fields, q)
	if err == nil {
		err = invalidHeader(m.Describe(encoded))
	}
	return m, err
}

// headerFields are the fields of a request that are headers of messages, sorted. One that
// is called nearly so is a mistake.
func headerFields(fields http.Header) (names []string, err error) {
	for name := range fields {
		switch {
		case !strings.HasPrefix(name, fieldPrefix):
		case strings.HasPrefix(name, headerPrefix) && len(name) > len(headerPrefix):
			names = append(names, name)
		case !slices.Contains(knownFields, name):
			return nil, &httpapi.Error{Status: http.StatusBadRequest, Code: "UNKNOWN_HEADER",
				Why: fmt.Sprintf("there is no field %.64q of a publish", name), More: map[string]any{"known": knownFields}}
		}
	}
	slices.Sort(names)
	return names, nil
}

// describeAll is what a publish says of each of several messages, of which none can have an
// id of its own so.
func describeAll(fields http.Header, q url.Values) (m message.Meta, encoded []byte, err error) {
	if encoded, err = described(fields, q); err != nil {
		return m, nil, err
	}
	err = invalidHeader(m.Describe(encoded))
	if err == nil && m.DedupID != nil {
		err = httpapi.Because(http.StatusBadRequest, "INVALID_HEADER", "dedup-id is that of one message, and cannot be given to all of several")
	}
	return m, encoded, err
}

// invalidHeader is 400 with what is wrong.
func invalidHeader(err error) error {
	if err == nil {
		return nil
	}
	return httpapi.Because(http.StatusBadRequest, "INVALID_HEADER", strings.TrimPrefix(err.Error(), message.ErrHeaders.Error()+": "))
}
