package api

import (
	"iter"
	"mime"
	"net/http"
	"strings"
)

// answerFor is how a client wants its messages, by its Accept (RFC 9110, 12.5.1); nil: as
// nobody here can give them. Of the types that it accepts that with the highest q is it; of
// those with the same one the first that it names, and JSON where it names none. What is no
// media range, or has no q that is one, is left out. Without the field it is JSON.
func answerFor(fields http.Header) answering {
	accept := strings.Join(fields.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return jsonMessages
	}
	var best, none acceptance
	var found answering
	for _, o := range offers {
		a := acceptanceOf(accept, o.kind)
		if a.weight > 0 && (best == none || a.over(best)) {
			best, found = a, o.answer
		}
	}
	return found
}

// offers are the types of answers of /sub.
var offers = [...]struct {
	kind   string
	answer answering
}{
	{"application/json", jsonMessages},
	{"multipart/mixed", multipartMessages},
	{"text/event-stream", streamMessages},
}

// acceptable are their names.
func acceptable() (list []string) {
	for _, o := range offers {
		list = append(list, o.kind)
	}
	return list
}

// acceptance is how much a client wants a type.
type acceptance struct {
	weight int // q, in thousandths
	// exact is 3 where the type is named, 2 where what is before its slash is, 1 where every
	// type is.
	exact int
	place int // in the list
}

func (a acceptance) over(b acceptance) bool {
	switch {
	case a.weight != b.weight:
		return a.weight > b.weight
	case a.exact != b.exact:
		return a.exact > b.exact
	}
	return a.exact > 1 && a.place < b.place
}

// acceptanceOf finds what a list of media ranges says of a type: what is most exact counts.
func acceptanceOf(accept, kind string) (a acceptance) {
	family, _, _ := strings.Cut(kind, "/")
	place := 0
	for element := range elements(accept) {
		place++
		name, parameters, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		exact := 0
		switch name {
		case kind:
			exact = 3
		case family + "/*":
			exact = 2
		case "*/*":
			exact = 1
		}
		weight, ok := 1000, true
		if q, given := parameters["q"]; given {
			weight, ok = weightOf(q)
		}
		if ok && exact > a.exact {
			a = acceptance{weight, exact, place}
		}
	}
	return a
}

// elements are those of a list that are separated by commas, which do not count in quotes.
func elements(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		quoted, escaped, from := false, false, 0
		for i, c := range []byte(list) {
			switch {
			case escaped:
				escaped = false
			case c == '\\' && quoted:
				escaped = true
			case c == '"':
				quoted = !quoted
			case c == ',' && !quoted:
				if !yield(list[from:i]) {
					return
				}
				from = i + 1
			}
		}
		yield(list[from:])
	}
}

// weightOf is a q in thousandths: 0 to 1 with up to three digits behind the point.
func weightOf(q string) (weight int, ok bool) {
	whole, fraction, _ := strings.Cut(q, ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0, false
	}
	for i, unit := range [...]int{100, 10, 1} {
		digit := 0
		if i < len(fraction) {
			if digit = int(fraction[i]) - '0'; digit < 0 || digit > 9 {
				return 0, false
			}
		}
		weight += digit * unit
	}
	if whole == "1" {
		weight += 1000
	}
	return weight, weight <= 1000
}
