package config

import (
	"fmt"
	"slices"
	"strings"
)

// option is one setting of a daemon. The typed half is its field.
type option struct {
	field
	name string // of the flag, without dashes
	key  string // in the TOML file and in /config; empty: only a flag
	help string
	live bool   // may be changed while the daemon runs
	idle bool   // accepted, but there is nothing here that it could change
	door bool   // keeps somebody out, so that an empty value is a mistake
	none bool   // with door: an empty value is none all the same
	mate string // with door: empty values of both in a file are none, and warned about

	origin origin
	file   string // with origin fromFile
	line   int    // in file; 0 when it is not known
	broken bool   // what was given could not be read; the default stands
}

// origin says where an option's value comes from.
type origin int

const (
	fromDefault origin = iota
	fromFile
	fromFlag
)

// field is a place in a daemon's struct with what is known about its type.
type field interface {
	reset()
	set(text string, again bool) bool // from the command line; again: a repetition
	setTOML(v any) bool
	acceptsTOML(v any) bool
	setBody(body []byte) (mistake string) // of PUT /config
	mistakes() []string
	empty() bool    // there is nothing in it, or nothing in a part of it
	render() string // as GET /config shows it
	typing() typing
}

// typing is what does not depend on a field's Go type.
type typing struct {
	word     string   // the type, such as "duration"
	unit     string   // what a value counts or names, such as "bytes"
	expects  string   // what may be written
	byItself bool     // the flag needs no value
	asIs     bool     // what render returns is text, not JSON
	repeats  bool     // the flag may be repeated
	def      string   // the default, as one would write it
	allowed  []string // the ranges
}

// section is a heading of the usage text with its options.
type section struct {
	title   string
	options []*option
}

// bind declares an option whose value lives at at. The TOML key is the name
// with underscores.
func bind[T any](at *T, name string, k kind[T], def T, help string, checks ...check[T]) *option {
	return &option{
		field: &bound[T]{at: at, name: name, kind: k, def: def, checks: checks},
		name:  name,
		key:   strings.ReplaceAll(name, "-", "_"),
		help:  help,
	}
}

// keyed gives o a TOML key that its name does not lead to; empty for none.
func (o *option) keyed(key string) *option {
	o.key = key
	return o
}

// changeable lets o be changed while the daemon runs.
func (o *option) changeable() *option {
	o.live = true
	return o
}

// withoutEffect marks an option that is accepted for the sake of those who
// have it in their scripts.
func (o *option) withoutEffect() *option {
	o.idle = true
	return o
}

// guards marks an option that keeps somebody out when it is given. An empty
// value, such as that of a variable that is not set, is a mistake: it would
// leave a door open that was to be shut.
func (o *option) guards() *option {
	o.door = true
	return o
}

// orNone takes an empty value of an option that guards for none, as NSQ does.
func (o *option) orNone() *option {
	o.none = true
	return o
}

// orNoneInFileWith takes an empty value in a file of an option that guards for
// none, with a warning, if that of the option of another name is empty there too:
// NSQ's own example has such lines.
func (o *option) orNoneInFileWith(mate string) *option {
	o.mate = mate
	return o
}

// unguarded tells whether an option that is to keep somebody out was given
// without anything in it.
func (o *option) unguarded() bool {
	return o.door && !o.none && o.origin != fromDefault && o.empty()
}

// source tells where a wrong value is to be mended, when that is in a file.
func (o *option) source() string {
	if o.origin != fromFile {
		return ""
	}
	return fmt.Sprintf(" (%s in %s)", o.key, place(o.file, o.line))
}

func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("line %d of %s", line, file)
}

// bound is a field of type T.
type bound[T any] struct {
	at     *T
	name   string
	kind   kind[T]
	def    T
	checks []check[T]
}

func (b *bound[T]) reset() { *b.at = b.def }

func (b *bound[T]) set(text string, again bool) bool {
	v, ok := b.kind.parse(text)
	if !ok {
		return false
	}
	if again && b.kind.join != nil {
		v = b.kind.join(*b.at, v)
	}
	*b.at = v
	return true
}

func (b *bound[T]) acceptsTOML(v any) bool {
	_, ok := b.kind.toml(v)
	return ok
}

func (b *bound[T]) setTOML(v any) bool {
	value, ok := b.kind.toml(v)
	if ok {
		*b.at = value
	}
	return ok
}

func (b *bound[T]) setBody(body []byte) (mistake string) {
	v, ok := b.kind.body(body)
	if !ok {
		return fmt.Sprintf("%s must be %s, not %s", b.name, b.kind.bodyExpects, quote(string(body)))
	}
	if mistakes := b.mistakesOf(v); len(mistakes) > 0 {
		return strings.Join(mistakes, "; ")
	}
	*b.at = v
	return ""
}

func (b *bound[T]) empty() bool { return b.kind.empty != nil && b.kind.empty(*b.at) }

func (b *bound[T]) mistakes() []string { return b.mistakesOf(*b.at) }

func (b *bound[T]) mistakesOf(v T) (mistakes []string) {
	for _, c := range b.checks {
		switch {
		case c.ok(v):
		case c.text != nil:
			mistakes = append(mistakes, c.text(v))
		default:
			mistakes = append(mistakes, fmt.Sprintf("--%s must be %s, not %s", b.name, c.allowed, b.kind.show(v)))
		}
	}
	return mistakes
}

func (b *bound[T]) render() string { return b.kind.render(*b.at) }

func (b *bound[T]) typing() typing {
	t := typing{
		word:     b.kind.word,
		unit:     b.kind.unit,
		expects:  b.kind.expects,
		byItself: b.kind.byItself,
		asIs:     b.kind.asIs,
		repeats:  b.kind.join != nil,
		def:      b.kind.show(b.def),
	}
	for _, c := range b.checks {
		t.allowed = append(t.allowed, c.allowed)
	}
	return t
}

// table is all options of a daemon.
type table []*option

func tableOf(sections []section) (t table) {
	for _, s := range sections {
		t = append(t, s.options...)
	}
	return t
}

func (t table) named(name string) *option {
	return t.find(func(o *option) bool { return o.name == name })
}

func (t table) keyed(key string) *option {
	if key == "" {
		return nil
	}
	return t.find(func(o *option) bool { return o.key == key })
}

func (t table) find(match func(*option) bool) *option {
	if i := slices.IndexFunc(t, match); i >= 0 {
		return t[i]
	}
	return nil
}
