package settings

import (
	"strings"

	"qmq/internal/jsonpointer"
)

// From is where in a message's body something is said of it: "json:" and a pointer of
// RFC 6901, such as "json:/user/id", or all of it, which is "body". Empty is nowhere.
type From string

// Body is all of a message's body.
const Body From = "body"

// inJSON is what such a From begins with.
const inJSON = "json:"

// Pointer is where in a JSON body it is; nil where it is nowhere.
func (f From) Pointer() *jsonpointer.Pointer {
	text, ok := strings.CutPrefix(string(f), inJSON)
	if !ok {
		return nil
	}
	p, err := jsonpointer.Parse(text)
	if err != nil {
		return nil // no setting is so
	}
	return p
}

// place is those that are in a JSON body.
var place = kind[From]{
	allowed: `"json:" and a JSON pointer (RFC 6901) of at most 1024 bytes such as "json:/user/id", or "" (none)`,
	read: func(v any) (From, bool) {
		text, ok := v.(string)
		from := From(text)
		return from, ok && (from == "" || from.Pointer() != nil)
	},
	show: func(f From) string { return quote(string(f)) },
}

// bodyOrPlace is also all of the body.
var bodyOrPlace = kind[From]{
	allowed: `"body", ` + place.allowed,
	read: func(v any) (From, bool) {
		if text, _ := v.(string); From(text) == Body {
			return Body, true
		}
		return place.read(v)
	},
	show: place.show,
}
