package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"qmq/internal/names"
	"qmq/internal/tcpclient"
	"qmq/message"
)

// Headers are keys and values of a message, in their order. Keys are compared without
// regard to case, and one may come again.
type Headers []Header

// Header is one of them. The key is 1 to 255 letters, digits and !#$%&'*+-.^_`|~; the
// value any bytes. A message has 64 at most, in 16 KiB.
type Header struct{ Key, Value string }

// Get is the first value of a key; empty if there is none.
func (h Headers) Get(key string) string {
	for _, one := range h {
		if strings.EqualFold(one.Key, key) {
			return one.Value
		}
	}
	return ""
}

// Has tells whether there is a value of a key.
func (h Headers) Has(key string) bool {
	for _, one := range h {
		if strings.EqualFold(one.Key, key) {
			return true
		}
	}
	return false
}

// Message is what is published.
type Message struct {
	Body    []byte // not empty
	Headers Headers
	// Key is what the message is about, for channels that keep the order of keys: up to
	// 255 bytes; empty: none.
	Key string
	// Priority of 0 to 9, for channels that have more urgent messages first.
	Priority int
	// DedupID is what doubles of the message are known by, in topics with a
	// dedup_window; empty: none.
	DedupID string
	// Delay is how long it is not delivered, of a message that is published alone.
	Delay time.Duration
}

// The headers that say something to nodes, which are fields of a Message.
const (
	headerKey      = "key"
	headerPriority = "priority"
	headerDedupID  = "dedup-id"
)

// encode checks a message and is what is sent of it.
func (m *Message) encode() (d tcpclient.Outgoing, err error) {
	switch {
	case len(m.Body) == 0:
		return d, fmt.Errorf("a body of 0 bytes: it must have one at least")
	case len(m.Key) > message.MaxKey:
		return d, fmt.Errorf("a key of %d bytes: it may have %d", len(m.Key), message.MaxKey)
	case m.Priority < 0 || m.Priority > message.MaxPriority:
		return d, fmt.Errorf("priority %d: it is 0 to %d", m.Priority, message.MaxPriority)
	}
	d.Body = m.Body
	if m.Key != "" {
		d.Headers = message.AppendHeader(d.Headers, headerKey, m.Key)
	}
	if m.Priority > 0 {
		d.Headers = message.AppendHeader(d.Headers, headerPriority, strconv.Itoa(m.Priority))
	}
	if m.DedupID != "" {
		if len(m.DedupID) > message.MaxHeaderBytes {
			return d, fmt.Errorf("a dedup id of %d bytes: with the headers it may have %d", len(m.DedupID), message.MaxHeaderBytes)
		}
		d.Headers = message.AppendHeader(d.Headers, headerDedupID, m.DedupID)
	}
	for _, h := range m.Headers {
		if err := h.check(); err != nil {
			return d, err
		}
		d.Headers = message.AppendHeader(d.Headers, h.Key, h.Value)
	}
	return d, message.CheckHeaders(d.Headers)
}

func (h *Header) check() error {
	switch {
	case !message.IsHeaderKey(h.Key):
		return fmt.Errorf("header %.64q: its key must be 1 to %d letters, digits and !#$%%&'*+-.^_`|~", h.Key, message.MaxHeaderKey)
	case len(h.Value) > message.MaxHeaderBytes:
		return fmt.Errorf("header %s of %d bytes: all together may have %d", h.Key, len(h.Value), message.MaxHeaderBytes)
	case strings.EqualFold(h.Key, headerKey), strings.EqualFold(h.Key, headerPriority), strings.EqualFold(h.Key, headerDedupID):
		return fmt.Errorf("header %s: it is a field of the message", h.Key)
	}
	return nil
}

// size is about how many bytes it takes on the wire.
func (m *Message) size() int {
	n := len(m.Body) + len(m.Key) + len(m.DedupID)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// pack is what one publish sends.
type pack struct {
	topic    string
	messages []tcpclient.Outgoing
	bodies   [][]byte // where no message has headers
	delay    time.Duration
	allIDs   bool // each message has a dedup id
}

// newPack checks messages that are published together.
func newPack(topic string, messages []Message) (*pack, error) {
	if !names.Valid(topic) {
		return nil, fmt.Errorf("topic %q: %s", topic, names.Rule)
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("no message to publish")
	}
	p := &pack{topic: topic, allIDs: true}
	described := false
	for i := range messages {
		m := &messages[i]
		d, err := m.encode()
		if err == nil && m.Delay != 0 && (len(messages) > 1 || m.Delay < 0) {
			err = fmt.Errorf("a delay of %v: it must be positive, and of a message that is published alone", m.Delay)
		}
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		p.messages, p.bodies = append(p.messages, d), append(p.bodies, d.Body)
		p.delay = m.Delay
		described = described || len(d.Headers) > 0
		p.allIDs = p.allIDs && m.DedupID != ""
	}
	if described {
		p.bodies = nil
	}
	return p, nil
}
