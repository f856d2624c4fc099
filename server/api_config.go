package server

import (
	"log/slog"
	"net/http"
	"strings"
)

// Config are the daemon's options as /config knows them, by their TOML keys.
// Its methods may be called concurrently.
type Config interface {
	// Lookup returns the value of an option: a string if the option is text,
	// a json.RawMessage if it is anything else.
	Lookup(key string) (value any, ok bool)
	// Changeable tells whether Set may succeed for an option.
	Changeable(key string) bool
	// Set gives an option the value that a request brought and returns when
	// that has taken effect. The error says what would be valid.
	Set(key string, value []byte) error
}

// getConfig is GET /config/:opt.
func (h *HTTP) getConfig(_ http.ResponseWriter, r *http.Request) (any, error) {
	value, ok := h.o.Config.Lookup(optionOf(r))
	if !ok {
		return nil, bad("INVALID_OPTION")
	}
	return value, nil
}

// putConfig is PUT /config/:opt: the body is the new value, which is also the
// answer.
func (h *HTTP) putConfig(w http.ResponseWriter, r *http.Request) (any, error) {
	value, err := readBody(w, r, h.o.MaxMsgSize, "INVALID_VALUE")
	if err != nil {
		return nil, err
	}
	if len(value) == 0 {
		return nil, tooBig("INVALID_VALUE") // NSQ's status for it
	}
	key := optionOf(r)
	if !h.o.Config.Changeable(key) {
		return nil, bad("INVALID_OPTION")
	}
	if err := h.o.Config.Set(key, value); err != nil {
		// The answer has no room for the reason.
		h.o.Logger.Warn("option not changed", slog.String("option", key), slog.Any("error", err))
		return nil, bad("INVALID_VALUE")
	}
	return h.getConfig(w, r)
}

// optionOf is the :opt of the path.
func optionOf(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/config/") }
