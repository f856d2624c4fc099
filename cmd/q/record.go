package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"qmq/internal/tcpclient"
)

// record is a message as a line of JSON: what q sub and q dump print and what q
// pub --json-lines reads.
type record struct {
	Topic    string  `json:"topic,omitempty"`
	Channel  string  `json:"channel,omitempty"`
	ID       string  `json:"id,omitempty"`
	Time     string  `json:"time,omitempty"` // RFC 3339, of the publish
	Attempts int     `json:"attempts,omitempty"`
	Node     string  `json:"node,omitempty"`
	Size     int64   `json:"size,omitempty"`
	State    string  `json:"state,omitempty"` // of a peeked message
	Defer    string  `json:"defer,omitempty"` // a duration: how long to hold it back
	Body     *string `json:"body,omitempty"`
	Base64   []byte  `json:"body_base64,omitempty"` // of what is no UTF-8
	// Truncated says that the body is only its beginning.
	Truncated bool `json:"truncated,omitempty"`
}

// setBody puts a body where it belongs: JSON has no way to write bytes that are
// no UTF-8.
func (r *record) setBody(body []byte) {
	if utf8.Valid(body) {
		text := string(body)
		r.Body = &text
		return
	}
	r.Base64 = body
}

// appendTo appends the object, without a newline.
func (r *record) appendTo(b *bytes.Buffer) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if e.Encode(r) == nil { // it always marshals
		b.Truncate(b.Len() - 1)
	}
}

// recordOf describes a message that was delivered.
func recordOf(m *tcpclient.Message, topic, channel string) *record {
	r := &record{
		Topic: topic, Channel: channel, ID: string(m.ID[:]), Time: stamp(m.Timestamp),
		Attempts: int(m.Attempts), Node: m.From.Address(), Size: int64(len(m.Body)),
	}
	r.setBody(m.Body)
	return r
}

// stamp is a time as people and programs read it.
func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// parseRecord reads a line of --json-lines.
func parseRecord(line []byte) (body []byte, delay time.Duration, err error) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, 0, fmt.Errorf("not an object like {\"body\":\"text\"}: %w", err)
	}
	switch {
	case r.Truncated:
		return nil, 0, errors.New("it has only the beginning of its body")
	case r.Body != nil && r.Base64 != nil:
		return nil, 0, errors.New("it has both body and body_base64")
	case r.Body != nil:
		body = []byte(*r.Body)
	default:
		body = r.Base64
	}
	if len(body) == 0 {
		return nil, 0, errors.New("it has no body: empty messages cannot be published")
	}
	if r.Defer != "" {
		if delay, err = time.ParseDuration(r.Defer); err != nil || delay < 0 {
			return nil, 0, fmt.Errorf("defer is %q and must be a duration such as 5s", r.Defer)
		}
	}
	return body, delay, nil
}
