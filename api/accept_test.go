package api

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// kindFor is the type that a client with this Accept gets; empty: none.
func kindFor(fields ...string) string {
	answer := answerFor(http.Header{"Accept": fields})
	for _, o := range offers {
		if answer != nil && reflect.ValueOf(answer).Pointer() == reflect.ValueOf(o.answer).Pointer() {
			return o.kind
		}
	}
	return ""
}

func TestAcceptIsReadAsItsStandardSays(t *testing.T) {
	const json, parts, events = "application/json", "multipart/mixed", "text/event-stream"
	for accept, want := range map[string]string{
		"":    json,
		" ":   json,
		"*/*": json,
		"application/json;q=0.5, multipart/mixed;q=0.9":        parts,
		"multipart/mixed;q=0.9, application/json;q=0.95":       json,
		"text/event-stream, application/json":                  events,
		"application/json, text/event-stream":                  json,
		"*/*, multipart/mixed":                                 parts,
		"*/*;q=0.1, multipart/mixed;q=0.05":                    json,
		"application/json;q=0, */*":                            parts,
		"application/json;q=0, multipart/*;q=0.0, */*;q=0.001": events,
		"text/*;q=0.3, text/event-stream;q=0.0, text/html":     "",
		"text/html, application/*;q=0.2, multipart/*;q=0.3":    parts,
		"*/*;q=0":                   "",
		"text/html":                 "",
		"multipart/mixed;q=0":       "",
		"Multipart/MIXED ; Q=1.000": parts,
		"multipart/mixed;boundary=\"a,b;q=0\";q=1":     parts,
		"multipart/mixed;x=\"\\\",\"":                  parts,
		"multipart/mixed;q=1.001, application/json":    json,
		"multipart/mixed;q=2, text/html":               "",
		"multipart/mixed;q=-1":                         "",
		"multipart/mixed;q=0.1234":                     "",
		"multipart/mixed;q=NaN":                        "",
		"multipart/mixed;q=, application/json;q=0.001": json,
		",,;,\"": "",
		strings.Repeat("text/html;q=0.1,", 1000) + "text/event-stream": events,
	} {
		if got := kindFor(accept); got != want {
			t.Errorf("%.80q: %q, want %q", accept, got, want)
		}
	}
	if got := kindFor("text/html", "multipart/mixed;q=0.2", "application/json;q=0.1"); got != parts {
		t.Errorf("of several fields: %q", got)
	}
	if answerFor(http.Header{}) == nil {
		t.Error("without the field there is no answer")
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("multipart/mixed;q=0.5, */*;q=0.1")
	f.Fuzz(func(t *testing.T, accept string) { kindFor(accept) })
}
