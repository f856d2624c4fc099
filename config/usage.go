package config

import (
	"cmp"
	"slices"
	"strings"
)

// usage is a help text: the sections in order, their options by name.
func usage(program string, sections []section) string {
	var w strings.Builder
	w.WriteString("Usage: " + program + " [flags]\n\n" +
		"-name and --name are the same; a value follows a blank or =, that of a boolean only =.\n" +
		"In a --config file (TOML), keys are the names with _ for -, unless another one is given.\n")
	for _, s := range sections {
		w.WriteString("\n" + s.title + ":\n")
		options := slices.SortedFunc(slices.Values(s.options), func(a, b *option) int { return cmp.Compare(a.name, b.name) })
		for _, o := range options {
			o.usage(&w)
		}
	}
	return w.String()
}

// usage is two lines: how to write the option, and what it means.
func (o *option) usage(w *strings.Builder) {
	t := o.typing()
	w.WriteString("  --" + o.name)
	switch {
	case t.unit != "" && t.byItself:
		w.WriteString("[=" + t.unit + "]")
	case t.unit != "":
		w.WriteString(" " + t.unit)
	}
	w.WriteString("\n        " + o.help)
	for _, note := range o.notes(t) {
		w.WriteString("; " + note)
	}
	if t.def != `""` && t.def != "" && t.def != "false" {
		w.WriteString(" (default " + t.def + ")")
	}
	w.WriteByte('\n')
}

func (o *option) notes(t typing) (notes []string) {
	if t.word == "word" || t.word == "bool-like" {
		notes = append(notes, t.expects)
	}
	notes = append(notes, t.allowed...)
	if t.repeats {
		notes = append(notes, "may be repeated")
	}
	if o.live {
		notes = append(notes, "may be changed while running")
	}
	if o.key != "" && o.key != strings.ReplaceAll(o.name, "-", "_") {
		notes = append(notes, "key "+o.key)
	}
	return notes
}
