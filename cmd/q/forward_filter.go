package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// filter says which messages pass and what of them.
type filter struct {
	field, value string   // that a JSON message has; empty: any
	keep         []string // fields that are left of it; nil: all
	sample       float64  // per cent that pass; 0: all
}

// pass tells whether a message passes, and how it looks then.
func (f *filter) pass(body []byte) ([]byte, bool) {
	if f.sample > 0 && !drawn(f.sample) {
		return nil, false
	}
	if f.field == "" && len(f.keep) == 0 {
		return body, true
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil, false
	}
	if f.field != "" {
		value, ok := fields[f.field]
		if !ok || f.value != "" && !f.is(value) {
			return nil, false
		}
	}
	if len(f.keep) == 0 {
		return body, true
	}
	left := make(map[string]json.RawMessage, len(f.keep))
	for _, name := range f.keep {
		if value, ok := fields[name]; ok {
			left[name] = value
		}
	}
	body, err := json.Marshal(left)
	return body, err == nil
}

// is tells whether a value is the one that is wanted: as text, or as a number.
func (f *filter) is(value json.RawMessage) bool {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text == f.value
	}
	var number float64
	wanted, err := strconv.ParseFloat(f.value, 64)
	return err == nil && json.Unmarshal(value, &number) == nil && number == wanted
}

// parseKey is what --key says: it takes the key of a message out of its body.
func parseKey(text string) (func([]byte) []byte, error) {
	if text == "body" {
		return func(body []byte) []byte { return body }, nil
	}
	path, ok := strings.CutPrefix(text, "json:")
	if !ok || path == "" {
		return nil, fmt.Errorf("--key=%s is neither body nor json:PATH", text)
	}
	steps := strings.Split(path, ".")
	return func(body []byte) []byte { return jsonAt(body, steps) }, nil
}

// jsonAt is a part of a JSON text; all of it, where there is no such part.
func jsonAt(body []byte, steps []string) []byte {
	at := json.RawMessage(body)
	for _, step := range steps {
		var fields map[string]json.RawMessage
		var items []json.RawMessage
		switch {
		case json.Unmarshal(at, &fields) == nil:
			at = fields[step]
		case json.Unmarshal(at, &items) == nil:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(items) {
				return body
			}
			at = items[i]
		default:
			return body
		}
		if at == nil {
			return body
		}
	}
	return bytes.TrimSpace(at)
}
