package nodeclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// scanner reads one JSON text from front to back, without building anything of
// it. /stats of a large cluster is tens of megabytes a second, a small part of
// which is wanted. After the first mistake it only stands still; err tells.
type scanner struct {
	b   []byte
	at  int
	err error
}

// deepest is how deep values may nest. /stats needs seven.
const deepest = 64

func (s *scanner) fail(expected string) {
	if s.err == nil {
		s.err = fmt.Errorf("no valid JSON at byte %d: expected %s", s.at, expected)
		s.at = len(s.b)
	}
}

// peek is the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.b) {
		switch c := s.b[s.at]; c {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// word takes null, true or false.
func (s *scanner) word(w string) bool {
	s.peek()
	if !bytes.HasPrefix(s.b[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// object calls member with each key. member takes the value. Null counts as an
// object without members.
func (s *scanner) object(member func(key []byte)) {
	if s.word("null") {
		return
	}
	if !s.take('{') {
		s.fail("an object")
		return
	}
	if s.take('}') {
		return
	}
	for s.err == nil {
		key := s.text()
		if !s.take(':') {
			s.fail("a colon")
			return
		}
		member(key)
		if s.take('}') {
			return
		}
		if !s.take(',') {
			s.fail("a comma or the end of an object")
		}
	}
}

// array calls element in front of each element. element takes it. It tells
// null from an array without elements.
func (s *scanner) array(element func()) (isNull bool) {
	if s.word("null") {
		return true
	}
	if !s.take('[') {
		s.fail("an array")
		return false
	}
	if s.take(']') {
		return false
	}
	for s.err == nil {
		element()
		if s.take(']') {
			return false
		}
		if !s.take(',') {
			s.fail("a comma or the end of an array")
		}
	}
	return false
}

// text takes a string. What it returns may be part of the input.
func (s *scanner) text() []byte {
	if s.word("null") {
		return nil
	}
	if s.peek() != '"' {
		s.fail("a string")
		return nil
	}
	start := s.at
	for i := start + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.at = i + 1
			return s.b[start+1 : i]
		case c == '\\' || c < ' ':
			return s.escapedText(start)
		}
	}
	s.fail("the end of a string")
	return nil
}

// escapedText leaves the rare cases to the standard library.
func (s *scanner) escapedText(start int) []byte {
	for i := start + 1; i < len(s.b); i++ {
		switch s.b[i] {
		case '\\':
			i++
		case '"':
			var text string
			if json.Unmarshal(s.b[start:i+1], &text) != nil {
				s.fail("a valid string")
				return nil
			}
			s.at = i + 1
			return []byte(text)
		}
	}
	s.fail("the end of a string")
	return nil
}

// number is the text of a number, empty for null.
func (s *scanner) number() []byte {
	if s.word("null") {
		return nil
	}
	s.peek()
	start := s.at
	for s.at < len(s.b) {
		c := s.b[s.at]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		s.at++
	}
	if s.at == start {
		s.fail("a number")
		return nil
	}
	return s.b[start:s.at]
}

// whole takes a whole number. One above the range is as high as can be.
func (s *scanner) whole() int64 {
	digits := s.number()
	if len(digits) == 0 {
		return 0
	}
	n, start := int64(0), 0
	if digits[0] == '-' {
		start = 1
	}
	if len(digits)-start > 18 || len(digits) == start {
		return s.wideWhole(digits)
	}
	for _, c := range digits[start:] {
		if c < '0' || c > '9' {
			s.fail("a whole number")
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if start == 1 {
		return -n
	}
	return n
}

func (s *scanner) wideWhole(digits []byte) int64 {
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil && !isRange(err) {
		s.fail("a whole number")
		return 0
	}
	return n
}

func isRange(err error) bool {
	number, ok := err.(*strconv.NumError)
	return ok && number.Err == strconv.ErrRange
}

func (s *scanner) fraction() float64 {
	digits := s.number()
	if len(digits) == 0 {
		return 0
	}
	f, err := strconv.ParseFloat(string(digits), 64)
	if err != nil && !isRange(err) {
		s.fail("a number")
		return 0
	}
	return f
}

func (s *scanner) truth() bool {
	switch {
	case s.word("true"):
		return true
	case s.word("false"), s.word("null"):
	default:
		s.fail("true or false")
	}
	return false
}

// skip takes a value of any kind.
func (s *scanner) skip() { s.skipWithin(deepest) }

func (s *scanner) skipWithin(depth int) {
	if depth == 0 {
		s.fail("fewer values in one another")
		return
	}
	switch s.peek() {
	case '{':
		s.object(func([]byte) { s.skipWithin(depth - 1) })
	case '[':
		s.array(func() { s.skipWithin(depth - 1) })
	case '"':
		s.text()
	case 't', 'f':
		s.truth()
	case 'n':
		if !s.word("null") {
			s.fail("null")
		}
	default:
		s.fraction()
	}
}

// end is the error of the whole text.
func (s *scanner) end() error {
	if s.err == nil && s.peek() != 0 {
		s.fail("the end")
	}
	return s.err
}
