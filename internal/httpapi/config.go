package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"qmq/internal/nearest"
)

// Config are the daemon's options as /config knows them, by their TOML keys.
// Its methods may be called concurrently.
type Config interface {
	// Keys are all options.
	Keys() []string
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
	o := options{c, limit}
	r.Handle("GET", "/config/:opt", o.get)
	r.Handle("PUT", "/config/:opt", o.put)
}

// options answers /config.
type options struct {
	config Config
	limit  int
}

// get is GET /config/:opt.
func (o *options) get(_ http.ResponseWriter, r *http.Request) (any, error) {
	key := Param(r, "opt")
	value, ok := o.config.Lookup(key)
	if !ok {
		return nil, o.unknown(key)
	}
	return value, nil
}

// unknown is the refusal of an option that there is not.
func (o *options) unknown(key string) error {
	why := fmt.Sprintf("there is no option %.64q", key)
	if meant, ok := nearest.Word(key, o.config.Keys()); ok {
		why += fmt.Sprintf("; did you mean %s?", meant)
	}
	return Because(http.StatusBadRequest, "INVALID_OPTION", why)
}

// fixed is the refusal of a change of an option that is set at the start, or that there is not.
func (o *options) fixed(key string) error {
	if _, ok := o.config.Lookup(key); !ok {
		return o.unknown(key)
	}
	changeable := slices.DeleteFunc(slices.Clone(o.config.Keys()), func(k string) bool { return !o.config.Changeable(k) })
	why := key + " cannot be changed while the daemon runs; what can be is " + strings.Join(changeable, ", ")
	if len(changeable) == 0 {
		why = "no option can be changed while the daemon runs"
	}
	return Because(http.StatusBadRequest, "INVALID_OPTION", why)
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
		return nil, o.fixed(key)
	}
	if err := o.config.Set(key, value); err != nil {
		return nil, Because(http.StatusBadRequest, "INVALID_VALUE", err.Error())
	}
	return o.get(w, r)
}
