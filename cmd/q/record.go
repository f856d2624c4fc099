package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"qmq/internal/tcpclient"
	"qmq/message"
)

// record is a message as a line of JSON: what q sub and q dump print and what q
// pub --json-lines reads.
type record struct {
	Topic    string `json:"topic,omitempty"`
	Channel  string `json:"channel,omitempty"`
	ID       string `json:"id,omitempty"`
	Time     string `json:"time,omitempty"` // RFC 3339, of the publish
	Attempts int    `json:"attempts,omitempty"`
	Node     string `json:"node,omitempty"`
	Size     int64  `json:"size,omitempty"`
	State    string `json:"state,omitempty"` // of a peeked message
	Defer    string `json:"defer,omitempty"` // a duration: how long to hold it back
	// Headers are the message's, its key and priority among them.
	Headers []message.ShownHeader `json:"headers,omitempty"`
	Body    *string               `json:"body,omitempty"`
	Base64  []byte                `json:"body_base64,omitempty"` // of what is no UTF-8
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

// appendTo appends the object, without a newline: what encoding/json makes of it,
// several times as fast.
func (r *record) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	dst = appendText(dst, "topic", r.Topic)
	dst = appendText(dst, "channel", r.Channel)
	dst = appendText(dst, "id", r.ID)
	dst = appendText(dst, "time", r.Time)
	dst = appendNumber(dst, "attempts", int64(r.Attempts))
	dst = appendText(dst, "node", r.Node)
	dst = appendNumber(dst, "size", r.Size)
	dst = appendText(dst, "state", r.State)
	dst = appendText(dst, "defer", r.Defer)
	dst = appendHeaders(dst, r.Headers)
	switch {
	case r.Body != nil:
		dst = appendQuoted(append(dst, `"body":`...), *r.Body)
		dst = append(dst, ',')
	case len(r.Base64) > 0:
		dst = append(dst, `"body_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.Base64)
		dst = append(dst, `",`...)
	}
	if r.Truncated {
		dst = append(dst, `"truncated":true,`...)
	}
	return append(bytes.TrimSuffix(dst, []byte(",")), '}')
}

func appendHeaders(dst []byte, list []message.ShownHeader) []byte {
	if len(list) == 0 {
		return dst
	}
	text, _ := json.Marshal(list) // which is never refused
	return append(append(append(dst, `"headers":`...), text...), ',')
}

func appendText(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, '"'), key...), `":`...)
	return append(appendQuoted(dst, value), ',')
}

func appendNumber(dst []byte, key string, value int64) []byte {
	if value == 0 {
		return dst
	}
	dst = append(append(append(dst, '"'), key...), `":`...)
	return append(strconv.AppendInt(dst, value, 10), ',')
}

// appendQuoted appends valid UTF-8 as a string of JSON.
func appendQuoted(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// recordOf describes a message that was delivered.
func recordOf(m *tcpclient.Message, topic, channel string) *record {
	r := &record{
		Topic: topic, Channel: channel, ID: string(m.ID[:]), Time: stamp(m.Timestamp),
		Attempts: int(m.Attempts), Node: m.From.Address(), Size: int64(len(m.Body)), Headers: message.ShownHeaders(m.Headers),
	}
	r.setBody(m.Body)
	return r
}

// stamp is a time as people and programs read it.
func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// parseRecord reads a line of --json-lines.
func parseRecord(line []byte) (m outgoing, err error) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return m, fmt.Errorf("not an object like {\"body\":\"text\"}: %w", err)
	}
	switch {
	case r.Truncated:
		return m, errors.New("it has only the beginning of its body")
	case r.Body != nil && r.Base64 != nil:
		return m, errors.New("it has both body and body_base64")
	case r.Body != nil:
		m.body = []byte(*r.Body)
	default:
		m.body = r.Base64
	}
	if len(m.body) == 0 {
		return m, errors.New("it has no body: empty messages cannot be published")
	}
	if r.Defer != "" {
		if m.delay, err = time.ParseDuration(r.Defer); err != nil || m.delay < 0 {
			return m, fmt.Errorf("defer is %q and must be a duration such as 5s", r.Defer)
		}
	}
	for i := range r.Headers {
		if len(r.Headers[i].Key) > message.MaxHeaderKey || len(r.Headers[i].Value)+len(r.Headers[i].Base64) > message.MaxHeaderBytes {
			return m, message.ErrHeaders
		}
		m.headers = r.Headers[i].Append(m.headers)
	}
	return m, new(message.Meta).Describe(m.headers)
}
