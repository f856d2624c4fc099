package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"qmq/internal/nearest"
)

// NSQ's parameters. What is nearly called as one of asking is left to the routes, as NSQ leaves
// it; with a slip in one of storing, something else is stored than was meant.
var (
	asking  = []string{"topic", "channel", "format", "include_clients", "include_mem"}
	storing = []string{"defer", "binary"}
)

// maxLooked is how many parameters of a request are looked at for slips, which takes some µs each.
const maxLooked = 64

// RefuseUnknown refuses a request with a parameter that the route does not know: it is another
// request than was meant. It is for routes that NSQ does not have.
func RefuseUnknown(r *http.Request, q url.Values, known []string) error {
	for name := range q {
		if !slices.Contains(known, name) {
			return unknown(r, name, known, known)
		}
	}
	return nil
}

// RefuseMistyped refuses a request with a parameter that the route does not know and that is
// called, or nearly so, as one that NSQ does not have: of the route, or of others like it, which
// are elsewhere. Clients of NSQ may send others, which are ignored as NSQ ignores them, short ones
// too that differ by a letter, as id does from ids; so is everything where there are more than
// maxLooked: nobody has typed them.
func RefuseMistyped(r *http.Request, q url.Values, known, elsewhere []string) error {
	if len(q) > maxLooked {
		return nil
	}
	var own []string
	for name := range q {
		if slices.Contains(known, name) || slices.Contains(asking, name) || slices.Contains(storing, name) {
			continue
		}
		if own == nil {
			own = slices.DeleteFunc(slices.Concat(known, elsewhere), func(k string) bool { return slices.Contains(asking, k) })
		}
		if _, meant := nearest.Slip(name, own); meant {
			return unknown(r, name, known, own)
		}
	}
	return nil
}

func unknown(r *http.Request, name string, known, meant []string) error {
	why := fmt.Sprintf("%s has no parameter %.64q", r.URL.Path, name)
	if word, ok := nearest.Meant(name, meant); ok && slices.Contains(known, word) {
		why += fmt.Sprintf("; did you mean %s?", word)
	}
	return &Error{Status: http.StatusBadRequest, Code: "UNKNOWN_PARAMETER", Why: why, More: map[string]any{"known": append([]string{}, known...)}}
}

// Knows is a handler of a route that NSQ does not have, with the parameters that there are: see
// RefuseUnknown.
func Knows(f Handler, known ...string) Handler {
	return checked(f, func(r *http.Request, q url.Values) error { return RefuseUnknown(r, q, known) })
}

// KnowsAlso is a handler of a route that NSQ has, with the parameters that there are: see
// RefuseMistyped.
func KnowsAlso(f Handler, known ...string) Handler {
	return checked(f, func(r *http.Request, q url.Values) error { return RefuseMistyped(r, q, known, nil) })
}

func checked(f Handler, check func(*http.Request, url.Values) error) Handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if q, err := Query(r); err == nil { // else f says so, if that matters to it
			if err := check(r, q); err != nil {
				return nil, err
			}
		}
		return f(w, r)
	}
}
