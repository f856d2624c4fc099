package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/lease"
	"qmq/message"
)

// answering answers a request of /sub in one of its ways.
type answering func(k *lease.Holder, wait time.Duration, w http.ResponseWriter, r *http.Request) (any, error)

// answerBytes is about how many bytes an answer of /sub has, unless one message has more.
const answerBytes = 1 << 20

// LeasedMessage is a message in the answer to /sub, which is
//
//	{"messages":[…],"receipt":"16 hexadecimal characters","lease_ms":N}
type LeasedMessage struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // of the publish, ns since 1970
	Attempts  uint16 `json:"attempts"`  // deliveries, this one included
	Body      string `json:"body"`
	Base64    bool   `json:"base64,omitempty"` // the body is in base64: it is no UTF-8
	Key       string `json:"key,omitempty"`    // if it is UTF-8; it is among the headers in any case
	Priority  uint8  `json:"priority,omitempty"`

	Headers []message.ShownHeader `json:"headers,omitempty"` // also key and priority
}

func leased(m *channel.Message) LeasedMessage {
	l := LeasedMessage{ID: m.ID.String(), Timestamp: m.Timestamp, Attempts: m.Attempts}
	if utf8.Valid(m.Body) {
		l.Body = string(m.Body)
	} else {
		l.Body, l.Base64 = base64.StdEncoding.EncodeToString(m.Body), true
	}
	if len(m.Attrs) > 0 {
		if key := m.Key(); utf8.Valid(key) {
			l.Key = string(key)
		}
		l.Priority, l.Headers = m.View.Priority(), m.ShownDescription()
	}
	return l
}

// jsonSink makes JSON of messages.
type jsonSink struct {
	bytes.Buffer
	encoder *json.Encoder
	n       int
}

func newJSONSink() *jsonSink {
	s := new(jsonSink)
	s.encoder = json.NewEncoder(&s.Buffer)
	s.encoder.SetEscapeHTML(false)
	return s
}

// Put is part of channel.Sink.
func (s *jsonSink) Put(m *channel.Message) bool {
	if s.n > 0 && s.Len()+len(m.Body)+len(m.Attrs) > answerBytes {
		return false
	}
	if s.n > 0 {
		s.WriteByte(',')
	}
	s.n++
	_ = s.encoder.Encode(leased(m)) // into memory, of what always marshals
	s.Truncate(s.Len() - 1)         // the end of the line
	return true
}

// jsonMessages answers with one object.
func jsonMessages(k *lease.Holder, wait time.Duration, w http.ResponseWriter, r *http.Request) (any, error) {
	s := newJSONSink()
	s.WriteString(`{"messages":[`)
	n, err := k.TakeOrNone(r.Context(), s, wait)
	if err != nil {
		return nil, consumeError(err)
	}
	fmt.Fprintf(s, `],"receipt":"%016x","lease_ms":%d}`, k.Receipt(), k.Lease().Milliseconds())
	return sendMessages(k, n, w, r, "application/json; charset=utf-8", s.Bytes())
}

// sendMessages sends an answer with n messages, and takes them back where that fails.
func sendMessages(k *lease.Holder, n int, w http.ResponseWriter, r *http.Request, kind string, answer []byte) (any, error) {
	head := w.Header()
	head.Set("Content-Type", kind)
	head.Set("Content-Length", strconv.Itoa(len(answer)))
	head.Set("Cache-Control", "no-store")
	err := r.Context().Err()
	if err == nil {
		_, err = w.Write(answer)
	}
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil {
		if n > 0 {
			k.Return()
		}
		panic(http.ErrAbortHandler) // it may have a part of the answer
	}
	return httpapi.Answered, nil
}

// multipartSink makes a part of each message.
type multipartSink struct {
	bytes.Buffer
	boundary string
	n        int
}

// Put is part of channel.Sink.
func (s *multipartSink) Put(m *channel.Message) bool {
	if s.n > 0 && s.Len()+len(m.Body)+len(m.Attrs) > answerBytes {
		return false
	}
	s.n++
	fmt.Fprintf(s, "--%s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nX-Q-Id: %s\r\nX-Q-Timestamp: %d\r\nX-Q-Attempts: %d\r\n",
		s.boundary, len(m.Body), m.ID.String(), m.Timestamp, m.Attempts)
	for key, value := range message.Headers(m.AppendDescription(nil)) {
		field := headerPrefix + string(key)
		if d := slices.IndexFunc(descriptions[:], func(d description) bool { return strings.EqualFold(d.header, string(key)) }); d >= 0 {
			field = descriptions[d].field
		}
		fmt.Fprintf(s, "%s: %s\r\n", field, fieldValue(value))
	}
	s.WriteString("\r\n")
	s.Write(m.Body)
	s.WriteString("\r\n")
	return true
}

// fieldValue is a value as a field may have it: what is more than printable ASCII is an
// encoded word (RFC 2047), in base64.
func fieldValue(value []byte) string {
	plain := !bytes.Contains(value, []byte("=?")) && string(textproto.TrimBytes(value)) == string(value)
	for _, c := range value {
		plain = plain && c >= ' ' && c < 0x7f
	}
	if plain {
		return string(value)
	}
	return "=?utf-8?b?" + base64.StdEncoding.EncodeToString(value) + "?="
}

// multipartMessages answers with a part for each message, whose body is as it is: the fields
// of the part, X-Q-Id, X-Q-Timestamp (ns since 1970), X-Q-Attempts, X-Q-Key, X-Q-Priority,
// X-Q-Dedup-Id, Traceparent, Tracestate and X-Q-Header-NAME, say the rest; the value of one
// that is not printable ASCII is an encoded word of RFC 2047. The fields X-Q-Receipt and
// X-Q-Lease-Ms are the answer's own. Without messages it is 204.
func multipartMessages(k *lease.Holder, wait time.Duration, w http.ResponseWriter, r *http.Request) (any, error) {
	s := &multipartSink{boundary: fmt.Sprintf("q-%016x-%016x", k.Receipt(), time.Now().UnixNano())}
	n, err := k.TakeOrNone(r.Context(), s, wait)
	if err != nil {
		return nil, consumeError(err)
	}
	w.Header().Set("X-Q-Receipt", fmt.Sprintf("%016x", k.Receipt()))
	w.Header().Set("X-Q-Lease-Ms", strconv.FormatInt(k.Lease().Milliseconds(), 10))
	if n == 0 {
		w.WriteHeader(http.StatusNoContent)
		return httpapi.Answered, nil
	}
	fmt.Fprintf(s, "--%s--\r\n", s.boundary)
	return sendMessages(k, n, w, r, mime.FormatMediaType("multipart/mixed", map[string]string{"boundary": s.boundary}), s.Bytes())
}
