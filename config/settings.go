package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// What [Settings.Set] may fail with.
var (
	ErrUnknownOption = errors.New("there is no such option")
	ErrNotChangeable = errors.New("the option cannot be changed while running")
	ErrInvalidValue  = errors.New("invalid value")
)

// Settings are the options of a running daemon, by their TOML keys. All
// methods may be called concurrently.
type Settings[V any] struct {
	warnings []string

	mu     sync.Mutex // guards values, which the fields of table point to
	values V
	table  table

	changing  sync.Mutex // serialises changes with their observers; taken before mu
	observers []func(key string, now V)
}

// daemon is a struct of options.
type daemon[V any] interface {
	*V
	// declare says which options there are. What it returns points to the
	// struct.
	declare(hostname string) []section
	// relate checks options against one another and mends what may be mended,
	// with a warning.
	relate(r *review)
	common() *Common
	// claim takes a table of the file that is the daemon's own.
	claim(key string, v any, file string, r *review) bool
}

// parse is what the Parse functions do. It returns [ErrHelp] or [Mistakes].
func parse[V any, D daemon[V]](args []string, hostname string) (*Settings[V], error) {
	s := new(Settings[V])
	d := D(&s.values)
	s.table = tableOf(d.declare(hostname))
	for _, o := range s.table {
		o.reset()
	}
	var r review
	if s.table.readFlags(args, &r) {
		return nil, ErrHelp
	}
	if d.common().ShowVersion && len(r.mistakes) == 0 {
		return s, nil // before the file is touched
	}
	if file := d.common().ConfigFile; file != "" {
		unknown := s.table.loadFile(file, d.claim, &r)
		for _, text := range unknown {
			if d.common().StrictConfig {
				r.mistake("failed to load config file %s - %s", file, text)
			} else {
				r.warn("%s", text)
			}
		}
	}
	s.table.check(&r)
	d.relate(&r)
	if len(r.mistakes) > 0 {
		return nil, r.mistakes
	}
	s.warnings = r.warnings
	return s, nil
}

// voided tells whether a file has an empty value of o that is taken for none.
func (t table) voided(o *option) bool {
	mate := t.named(o.mate)
	return mate != nil && o.origin == fromFile && mate.origin == fromFile && o.empty() && mate.empty()
}

func (t table) check(r *review) {
	for _, o := range t {
		if o.broken {
			continue
		}
		if t.voided(o) {
			r.warn("--%s is empty%s and so taken for none", o.name, o.source())
		} else if o.unguarded() {
			r.mistake("--%s must not be empty: without the option, the door that it shuts is open%s", o.name, o.source())
			continue
		}
		for _, text := range o.mistakes() {
			r.mistake("%s%s", text, o.source())
		}
	}
}

// hostname is the machine's name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// Values returns a copy of the options as they are now. Its slices are shared
// and must not be modified.
func (s *Settings[V]) Values() V {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values
}

// Warnings are what to tell the user: one line each, in no need of an answer.
func (s *Settings[V]) Warnings() []string { return s.warnings }

// WithoutEffect lists the flags that were given, on the command line or in the
// file, though they change nothing here: "--verbose".
func (s *Settings[V]) WithoutEffect() (flags []string) {
	for _, o := range s.table {
		if o.idle && o.origin != fromDefault {
			flags = append(flags, "--"+o.name)
		}
	}
	return flags
}

// Given tells whether the option of that flag was set on the command line or
// in the file.
func (s *Settings[V]) Given(flag string) bool {
	o := s.table.named(flag)
	return o != nil && o.origin != fromDefault
}

// Lookup returns the value of the option with that TOML key as GET /config
// answers it: a string if the option is text, a [json.RawMessage] if it is
// anything else. Durations are in ns.
func (s *Settings[V]) Lookup(key string) (value any, ok bool) {
	o := s.table.keyed(key)
	if o == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.typing().asIs {
		return o.render(), true
	}
	return json.RawMessage(o.render()), true
}

// Keys are the TOML keys of all options.
func (s *Settings[V]) Keys() (keys []string) {
	for _, o := range s.table {
		if o.key != "" {
			keys = append(keys, o.key)
		}
	}
	return keys
}

// Changeable tells whether there is an option with that TOML key that may be
// changed while the daemon runs.
func (s *Settings[V]) Changeable(key string) bool {
	o := s.table.keyed(key)
	return o != nil && o.live
}

// Set changes the option with that TOML key to what a PUT /config brought, and
// returns when all observers have returned. The error is [ErrUnknownOption],
// [ErrNotChangeable] or [ErrInvalidValue], the last one wrapped with what would
// be valid. The change is not stored.
func (s *Settings[V]) Set(key string, body []byte) error {
	o := s.table.keyed(key)
	switch {
	case o == nil:
		return ErrUnknownOption
	case !o.live:
		return ErrNotChangeable
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	now, err := s.change(o, body)
	if err != nil {
		return err
	}
	for _, observe := range s.observers {
		observe(key, now)
	}
	return nil
}

func (s *Settings[V]) change(o *option, body []byte) (now V, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mistake := o.setBody(body); mistake != "" {
		return now, fmt.Errorf("%w: %s", ErrInvalidValue, mistake)
	}
	return s.values, nil
}

// Observe calls f after each change, one at a time and in order, with the key
// and a copy of all options. f may not call Set, Observe or Adjust.
func (s *Settings[V]) Observe(f func(key string, now V)) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.observers = append(s.observers, f)
}

// Adjust lets f complete the options with what is known only after the start,
// such as the port that a listener got. Observers are not called.
func (s *Settings[V]) Adjust(f func(*V)) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.values)
}
