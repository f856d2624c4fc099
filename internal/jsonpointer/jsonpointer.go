// Package jsonpointer finds a value in a JSON text by its place there, a pointer of RFC
// 6901 such as /user/id. It does no I/O and has no goroutine; all may be used
// concurrently.
package jsonpointer

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxLength is how many bytes a pointer has at most.
const MaxLength = 1024

// ErrSyntax means that a text is no pointer.
var ErrSyntax = errors.New("no JSON pointer of RFC 6901")

// Pointer is where a value is. It is never changed.
type Pointer struct {
	tokens []token
}

// token is one step down.
type token struct {
	name  string
	index int64 // the same as a place in an array; -1 where it is none
}

// Parse reads a pointer: empty is all of the text, else it begins with a slash. In its
// parts ~1 is a slash and ~0 a tilde. The error is ErrSyntax.
func Parse(text string) (*Pointer, error) {
	if len(text) > MaxLength {
		return nil, ErrSyntax
	}
	p := new(Pointer)
	if text == "" {
		return p, nil
	}
	if text[0] != '/' {
		return nil, ErrSyntax
	}
	for part := range strings.SplitSeq(text[1:], "/") {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if strings.Count(part, "~") != strings.Count(part, "~0")+strings.Count(part, "~1") {
			return nil, ErrSyntax
		}
		p.tokens = append(p.tokens, token{name: name, index: indexOf(part)})
	}
	return p, nil
}

// indexOf is the place in an array that a token names: digits without leading zeros.
func indexOf(part string) int64 {
	n, err := strconv.ParseUint(part, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != part {
		return -1
	}
	return int64(n)
}

// text is a JSON text that is read.
type text struct {
	from    bytes.Buffer
	decoder jsontext.Decoder
	value   []byte // of what was found last; in from's memory, or its own
	found   bool
}

var texts = sync.Pool{New: func() any { return new(text) }}

// options: a name may come twice, the last one counts, as in most readers; a byte that is no
// UTF-8 makes a body no JSON.
var options = jsontext.AllowDuplicateNames(true)

// Scalar is the text or number at p in body: the text without its quotes, the number as it
// is written. ok is false where there is none, or something else, and where the body, all of
// which is read, is no JSON. The value may alias body, which is not changed.
func (p *Pointer) Scalar(body []byte) (value []byte, ok bool) {
	t := texts.Get().(*text)
	t.from = *bytes.NewBuffer(body[:len(body):len(body)])
	t.decoder.Reset(&t.from, options)
	err := t.look(p.tokens)
	if err == nil {
		_, err = t.decoder.ReadToken() // nothing comes behind
	}
	value, ok = t.value, err == io.EOF && t.found
	t.value, t.found, t.from = nil, false, bytes.Buffer{}
	t.decoder.Reset(&t.from, options)
	texts.Put(t)
	if !ok {
		return nil, false
	}
	return value, true
}

// look reads one value, and notes what is in it behind the tokens.
func (t *text) look(tokens []token) error {
	switch kind := t.decoder.PeekKind(); {
	case len(tokens) == 0:
		return t.take()
	case kind == '{':
		return t.lookIn('}', func() (bool, error) {
			name, err := t.decoder.ReadToken()
			return err == nil && name.String() == tokens[0].name, err
		}, tokens[1:])
	case kind == '[':
		at := int64(-1)
		return t.lookIn(']', func() (bool, error) {
			at++
			return at == tokens[0].index, nil
		}, tokens[1:])
	}
	return t.decoder.SkipValue()
}

// lookIn reads an object or array to its end. isNext reads what comes before a value in
// it, and says whether the value is where the pointer leads.
func (t *text) lookIn(end jsontext.Kind, isNext func() (bool, error), behind []token) error {
	if _, err := t.decoder.ReadToken(); err != nil {
		return err
	}
	for t.decoder.PeekKind() != end {
		is, err := isNext()
		switch {
		case err != nil:
		case is:
			t.value, t.found = nil, false // what came before under that name does not count
			err = t.look(behind)
		default:
			err = t.decoder.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := t.decoder.ReadToken()
	return err
}

// take notes the value that comes next.
func (t *text) take() error {
	value, err := t.decoder.ReadValue()
	if err != nil {
		return err
	}
	switch value.Kind() {
	case '"':
		t.value, t.found = value[1:len(value)-1], true
		if bytes.IndexByte(value, '\\') >= 0 {
			t.value, err = jsontext.AppendUnquote(nil, value)
		}
	case '0':
		t.value, t.found = value, true
	}
	return err
}
