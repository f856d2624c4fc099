package httpapi

import (
	"bytes"
	"log/slog"
	"net/http"
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

// Config adds the routes that show and change options: a new value is at most
// limit bytes long.
func (r *Router) Config(c Config, limit int) {
	o := options{c, limit, r.log}
	r.Handle("GET", "/config/:opt", o.get)
	r.Handle("PUT", "/config/:opt", o.put)
}

// options answers /config.
type options struct {
	config Config
	limit  int
	log    *slog.Logger
}

// get is GET /config/:opt.
func (o *options) get(_ http.ResponseWriter, r *http.Request) (any, error) {
	value, ok := o.config.Lookup(Param(r, "opt"))
	if !ok {
		return nil, Bad("INVALID_OPTION")
	}
	return value, nil
}

// put is PUT /config/:opt: the body is the new value, which is also the
// answer.
func (o *options) put(w http.ResponseWriter, r *http.Request) (any, error) {
	body, err := ReadBody(r, o.limit, "INVALID_VALUE")
	defer body.Release()
	if err != nil {
		return nil, err
	}
	value := bytes.Clone(body.Bytes()) // an option may keep it
	if len(value) == 0 {
		return nil, TooBig("INVALID_VALUE") // NSQ's status for it
	}
	key := Param(r, "opt")
	if !o.config.Changeable(key) {
		return nil, Bad("INVALID_OPTION")
	}
	if err := o.config.Set(key, value); err != nil {
		// The answer has no room for the reason.
		o.log.Warn("option not changed", slog.String("option", key), slog.Any("error", err))
		return nil, Bad("INVALID_VALUE")
	}
	return o.get(w, r)
}
