package api

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"qmq/internal/httpapi"
)

// The parameters of the routes that publish.
var (
	pubParameters  = []string{"topic", "defer", "ttl", "key", "priority", "dedup_id", "ids"}
	mpubParameters = []string{"topic", "binary", "ttl", "key", "priority", "ids"}
)

// weighty are the parameters without which a message is stored as something
// else than was meant: one that is nearly called so is a mistake.
var weighty = [...]string{"defer", "binary", "ttl", "key", "priority", "dedup_id"}

// refuseUnknown refuses a publish with a parameter that was meant to matter and
// would not. Others that are unknown are ignored, as NSQ does.
func (h *HTTP) refuseUnknown(r *http.Request, q url.Values, known []string) error {
	for name := range q {
		if slices.Contains(known, name) || !misleads(name) {
			continue
		}
		h.o.Logger.Warn("publish with an unknown parameter", slog.String("parameter", name), slog.Any("known", known),
			slog.String("path", r.URL.Path), slog.String("client", r.RemoteAddr))
		return &httpapi.Error{Status: http.StatusBadRequest, Code: "UNKNOWN_PARAMETER", More: map[string]any{"known": known}}
	}
	return nil
}

// misleads tells whether a parameter is one edit away from one that has weight, or is what
// one message can have and several cannot.
func misleads(name string) bool {
	return name == "dedup_id" || slices.ContainsFunc(weighty[:], func(w string) bool { return oneEdit(name, w) })
}

// oneEdit tells whether a differs from b by one byte that was inserted, left
// out or changed, or by two neighbours that changed places.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	same := 0
	for same < len(a) && a[same] == b[same] {
		same++
	}
	a, b = a[same:], b[same:]
	switch len(b) - len(a) {
	case 0:
		swapped := len(a) >= 2 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
		return len(a) > 0 && (a[1:] == b[1:] || swapped)
	case 1:
		return strings.HasSuffix(b, a)
	}
	return false
}
