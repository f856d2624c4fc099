package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// AttrHeaders holds the headers of a message, as they are on the wire too,
// big-endian:
//
//	┌─────────┬─────┬─────────┬───────┐
//	│ klen u8 │ key │ vlen u16│ value │ …
//	└─────────┴─────┴─────────┴───────┘
//
// Their order is the publisher's, and so is the case of a key, which is a token
// of ASCII; keys that differ by case only are the same, and one may come
// again. A value is any bytes.
const AttrHeaders AttrTag = 6

// MaxHeaders is how many headers a message has at most, MaxHeaderBytes how many
// bytes they take together, as AttrHeaders draws them, and MaxHeaderKey how many
// a key. The first HeaderKey and HeaderPriority do not count, which are no headers where
// they are kept: what a consumer gets may be published again as it is. MaxEncoded
// is how many bytes all take together.
const (
	MaxHeaders     = 64
	MaxHeaderBytes = 16 << 10
	MaxHeaderKey   = 255
	MaxEncoded     = MaxHeaderBytes + 2*(1+2) + len(HeaderKey) + MaxKey + len(HeaderPriority) + 1
)

// ErrHeaders is wrapped by all errors about headers that cannot be.
var ErrHeaders = errors.New("invalid headers")

// The errors about headers whose bytes are no list of them, and of too many.
var (
	errHeadersCut  = fmt.Errorf("%w: they are cut short", ErrHeaders)
	errHeadersMany = fmt.Errorf("%w: there are more than %d", ErrHeaders, MaxHeaders)
	errHeadersLong = fmt.Errorf("%w: they take more than %d bytes", ErrHeaders, MaxHeaderBytes)
)

// AppendHeader appends one header. CheckHeaders says what may be, and refuses what has a
// longer key or value than that: it is cut here, as its length would be another one.
func AppendHeader[T ~string | ~[]byte](dst []byte, key string, value T) []byte {
	if len(key) > MaxHeaderKey {
		key = key[:MaxHeaderKey-1] + " " // which no key has
	}
	value = value[:min(len(value), MaxHeaderBytes)] // with its key that is too long
	dst = append(append(dst, byte(len(key))), key...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// cutHeader takes the header off the front of b; ok is false where there is none or
// it is cut short.
func cutHeader(b []byte) (key, value, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, nil, false
	}
	at := 1 + int(b[0])
	if len(b) < at+2 {
		return nil, nil, nil, false
	}
	end := at + 2 + int(binary.BigEndian.Uint16(b[at:]))
	if len(b) < end {
		return nil, nil, nil, false
	}
	return b[1:at:at], b[at+2 : end : end], b[end:], true
}

// Headers are the keys and values of encoded headers, in their order, up to where they
// are malformed. They alias encoded.
func Headers(encoded []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for {
			key, value, rest, ok := cutHeader(encoded)
			if !ok || !yield(key, value) {
				return
			}
			encoded = rest
		}
	}
}

// Header is the value of the first of the encoded headers with a key, in whatever case.
func Header(encoded []byte, key string) (value []byte, ok bool) {
	for k, v := range Headers(encoded) {
		if len(k) == len(key) && strings.EqualFold(string(k), key) {
			return v, true
		}
	}
	return nil, false
}

// CheckHeaders says why bytes cannot be the headers of a message. The error wraps
// ErrHeaders.
func CheckHeaders(encoded []byte) error {
	if len(encoded) > MaxEncoded {
		return errHeadersLong
	}
	n, size, key, priority := 0, 0, false, false
	for len(encoded) > 0 {
		name, _, rest, ok := cutHeader(encoded)
		switch {
		case !ok:
			return errHeadersCut
		case !key && is(name, HeaderKey):
			key = true
		case !priority && is(name, HeaderPriority):
			priority = true
		case n == MaxHeaders:
			return errHeadersMany
		case !IsHeaderKey(name):
			return fmt.Errorf("%w: a key must be 1 to %d letters, digits and !#$%%&'*+-.^_`|~, not %.64q", ErrHeaders, MaxHeaderKey, name)
		default:
			n++
			size += len(encoded) - len(rest)
		}
		encoded = rest
	}
	if size > MaxHeaderBytes {
		return errHeadersLong
	}
	return nil
}

// IsHeaderKey tells whether a header may have this key.
func IsHeaderKey[T ~string | ~[]byte](key T) bool {
	if len(key) == 0 || len(key) > MaxHeaderKey {
		return false
	}
	for i := range len(key) {
		if !tokenBytes[key[i]] {
			return false
		}
	}
	return true
}

// tokenBytes are the bytes of tokens, as HTTP has them for the names of its fields.
var tokenBytes = func() (is [256]bool) {
	for c := '0'; c <= '9'; c++ {
		is[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		is[c], is[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		is[c] = true
	}
	return is
}()

// Headers are the message's headers, encoded; nil where it has none.
func (v *View) Headers() []byte { return v.attr(AttrHeaders) }

// attr is the value of an attribute; nil where there is none.
func (v *View) attr(tag AttrTag) []byte {
	if len(v.Attrs) == 0 {
		return nil
	}
	value, _ := Attr(v.Attrs, tag)
	return value
}
