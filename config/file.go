package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

const (
	maxFileSize = 1 << 20 // of a configuration file, in bytes
	maxUnknown  = 20      // unknown keys that are told one by one
)

// claim takes the value of a key at the top of the file that is no option, and says
// whether it is the daemon's.
type claim func(key string, v any, file string, r *review) bool

// loadFile applies the TOML file to all options that the command line has not
// set. It returns a line for each key that neither it nor the daemon knows.
func (t table) loadFile(name string, claims claim, r *review) (unknown []string) {
	content, err := readAll(name)
	if err != nil {
		r.mistake("failed to load config file %s - %w", name, err)
		return nil
	}
	return t.readTOML(name, content, claims, r)
}

func readAll(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxFileSize {
		return "", fmt.Errorf("it is longer than %d bytes", maxFileSize)
	}
	return string(content), nil
}

func (t table) readTOML(file, content string, claims claim, r *review) (unknown []string) {
	var values map[string]toml.Primitive
	meta, err := toml.Decode(content, &values)
	if err != nil {
		// Its text may quote the end of a line.
		text := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(err.Error())
		r.mistake("failed to load config file %s - %s", file, text)
		return nil
	}
	unknownKeys := 0
	claimed := make(map[string]bool)
	for _, path := range meta.Keys() {
		key := path[0]
		undecoded, ok := values[key]
		if claimed[key] {
			continue
		}
		if !ok {
			t.refuseDoor(path[len(path)-1], place(file, 0), r)
			continue // a further key of a table that was dealt with
		}
		delete(values, key)
		o := t.keyed(key)
		if o == nil {
			v, _ := locate(&meta, undecoded)
			if claimed[key] = claims(key, v, file, r); claimed[key] {
				continue
			}
		}
		if o == nil && t.refuseDoor(path[len(path)-1], place(file, lineOf(&meta, undecoded)), r) {
			continue
		}
		if o == nil {
			if unknownKeys++; unknownKeys <= maxUnknown {
				unknown = append(unknown, fmt.Sprintf("unknown key %s in %s%s", quote(key), place(file, lineOf(&meta, undecoded)), t.suggestKey(key)))
			}
			continue
		}
		v, line := locate(&meta, undecoded)
		o.readTOML(v, file, line, r)
	}
	if unknownKeys > maxUnknown {
		unknown = append(unknown, fmt.Sprintf("%d more unknown keys in %s", unknownKeys-maxUnknown, file))
	}
	return unknown
}

// refuseDoor tells whether an unknown key, perhaps of a table, is nearest to an
// option that keeps somebody out and that the command line does not give. Then it
// is a mistake: to go on would leave open what was to be shut.
func (t table) refuseDoor(key, at string, r *review) bool {
	o := t.nearest(key, func(o *option) bool { return o.key != "" })
	if o == nil || !o.door || o.origin == fromFlag {
		return false
	}
	r.mistake("unknown key %s in %s; %s at the top of the file shuts a door, which is open without it", quote(key), at, quote(o.key))
	return true
}

func (o *option) readTOML(v any, file string, line int, r *review) {
	at := place(file, line)
	if o.origin == fromFlag {
		if !o.acceptsTOML(v) {
			r.warn("%s: %s must be %s, not %s; the command line's value is used", at, o.key, o.typing().expects, showTOML(v))
		}
		return
	}
	o.origin, o.file, o.line = fromFile, file, line
	if o.setTOML(v) {
		return
	}
	o.broken = true
	where := ""
	if line > 0 {
		where = fmt.Sprintf("line %d: ", line)
	}
	r.mistake("failed to load config file %s - %s%s must be %s, not %s", file, where, o.key, o.typing().expects, showTOML(v))
}

// locate returns a value and the line of its key; the line is 0 for a table
// that is only implied.
func locate(meta *toml.MetaData, undecoded toml.Primitive) (v any, line int) {
	var c capture
	var at toml.ParseError
	if err := meta.PrimitiveDecode(undecoded, &c); errors.As(err, &at) {
		line = at.Position.Line
	}
	return c.value, line
}

func lineOf(meta *toml.MetaData, undecoded toml.Primitive) (line int) {
	_, line = locate(meta, undecoded)
	return line
}

// capture keeps a value and refuses it, because the toml package tells a
// position only with an error.
type capture struct{ value any }

var errCaptured = errors.New("captured")

// UnmarshalTOML is part of [toml.Unmarshaler].
func (c *capture) UnmarshalTOML(v any) error {
	c.value = v
	return errCaptured
}

func showTOML(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case []any:
		return "an array"
	case map[string]any, []map[string]any:
		return "a table"
	case time.Time:
		return "a date or time"
	}
	return fmt.Sprint(v)
}
