package config

import (
	"slices"
	"strings"

	"qmq/internal/nearest"
)

// suggestKey ends a sentence about an unknown TOML key: with the key that is
// nearest to it, or with nothing.
func (t table) suggestKey(key string) string {
	if o := t.named(strings.ReplaceAll(key, "_", "-")); o != nil && o.key == "" {
		return "; it is only a flag"
	}
	if o := t.nearest(key, func(o *option) bool { return o.key != "" }); o != nil {
		return "; did you mean " + quote(o.key) + "?"
	}
	return ""
}

func (t table) suggestFlag(name string) string {
	if o := t.nearest(name, func(*option) bool { return true }); o != nil {
		return "; did you mean --" + o.name + "?"
	}
	return ""
}

// nearest finds the option whose flag or key takes the fewest edits to become
// s; nil when s is like none of them.
func (t table) nearest(s string, match func(*option) bool) *option {
	var words []string
	var of []*option
	for _, o := range t {
		if !match(o) {
			continue
		}
		words, of = append(words, o.name), append(of, o)
		if o.key != "" {
			words, of = append(words, o.key), append(of, o)
		}
	}
	word, ok := nearest.Word(s, words)
	if !ok {
		return nil
	}
	return of[slices.Index(words, word)]
}
