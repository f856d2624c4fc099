package message

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The keys of headers that say something to Q; those of all others are for consumers.
// Key and priority become attributes of their own, and consumers get them back as
// headers. The id stays among the headers, as its publisher wrote it.
const (
	HeaderKey      = "key"
	HeaderPriority = "priority"
	HeaderDedupID  = "dedup-id"
)

// The keys of W3C's trace context.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// Describe has m say what encoded headers of a publish do, which m may alias from then on.
// The error wraps ErrHeaders and names what is allowed.
func (m *Meta) Describe(encoded []byte) error {
	if err := CheckHeaders(encoded); err != nil {
		return err
	}
	own, first, seen := 0, 0, 0 // of those that become attributes: how many, and how many bytes of them come first
	for rest := encoded; len(rest) > 0; {
		key, value, behind, _ := cutHeader(rest)
		becomes, err := m.describe(key, value, &seen)
		if err != nil {
			return err
		}
		if becomes {
			own++
			if at := len(encoded) - len(rest); at == first {
				first, own = len(encoded)-len(behind), own-1
			}
		}
		rest = behind
	}
	m.Headers = encoded[first:]
	if own > 0 {
		m.Headers = withoutOwn(m.Headers)
	}
	return nil
}

// describe has m say what one header does. becomes tells whether it is an attribute of
// its own. seen are those that may be there once.
func (m *Meta) describe(key, value []byte, seen *int) (becomes bool, err error) {
	bit := 0
	switch {
	case is(key, HeaderKey):
		if len(value) == 0 || len(value) > MaxKey {
			return false, fmt.Errorf("%w: %s must be 1 to %d bytes long, not %d", ErrHeaders, HeaderKey, MaxKey, len(value))
		}
		m.Key, bit, becomes = value, 1, true
	case is(key, HeaderPriority):
		p, err := strconv.ParseUint(string(value), 10, 8)
		if err != nil || p > MaxPriority || len(value) != 1 {
			return false, fmt.Errorf("%w: %s must be 0 to %d, not %.64q", ErrHeaders, HeaderPriority, MaxPriority, value)
		}
		m.Priority, bit, becomes = uint8(p), 2, true
	case is(key, HeaderDedupID):
		if len(value) == 0 {
			return false, fmt.Errorf("%w: %s must not be empty", ErrHeaders, HeaderDedupID)
		}
		id := MakeDedupID(value)
		m.DedupID, bit = &id, 4
	}
	if *seen&bit != 0 {
		return false, fmt.Errorf("%w: %s is there twice", ErrHeaders, strings.ToLower(string(key)))
	}
	*seen |= bit
	return becomes, nil
}

// is tells whether a key is one of Q's, in lower case.
func is(key []byte, name string) bool {
	return len(key) == len(name) && strings.EqualFold(string(key), name)
}

// withoutOwn is a copy of encoded headers without those that become attributes; nil where no others are there.
func withoutOwn(encoded []byte) (left []byte) {
	for key, value := range Headers(encoded) {
		if !is(key, HeaderKey) && !is(key, HeaderPriority) {
			left = AppendHeader(left, string(key), value)
		}
	}
	return left
}

// Description is what the message's publisher said of it for consumers, in memory of its
// own: headers, key and priority. A message that is made of this one has them too. The id
// by which doubles are known is not in it: it was that of this one.
func (v *View) Description() (m Meta) {
	if len(v.Attrs) == 0 {
		return m
	}
	m.Headers, m.Key, m.Priority = bytes.Clone(v.Headers()), bytes.Clone(v.Key()), v.Priority()
	return m
}

// AppendDescription appends what consumers are told of the message as headers: its key and
// its priority, if it has them, and then its headers. There may be two more than
// MaxHeaders.
func (v *View) AppendDescription(dst []byte) []byte {
	if len(v.Attrs) == 0 {
		return dst
	}
	var headers []byte
	for tag, value := range Attrs(v.Attrs) {
		switch tag {
		case AttrKey:
			dst = AppendHeader(dst, HeaderKey, value)
		case AttrPriority:
			dst = AppendHeader(dst, HeaderPriority, string('0'+rune(v.Priority())))
		case AttrHeaders:
			headers = value
		}
	}
	return append(dst, headers...)
}
