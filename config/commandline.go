package config

import "strings"

// readFlags reads args up to the first that is no flag. After a mistake it
// goes on with the next flag, to find them all. help is true when help was
// asked for before anything was wrong.
//
// The flag package is not used because it stops at the first mistake.
func (t table) readFlags(args []string, r *review) (help bool) {
	for len(args) > 0 {
		name, isFlag := undash(args[0])
		if !isFlag {
			return false
		}
		if name == "" || name[0] == '-' || name[0] == '=' {
			r.usage("bad flag syntax: %s", quoteIfNeeded(args[0]))
			args = args[1:]
			continue
		}
		args = args[1:]
		name, value, hasValue := strings.Cut(name, "=")
		o := t.named(name)
		if o == nil {
			if name == "h" || name == "help" {
				return len(r.mistakes) == 0
			}
			r.usage("flag provided but not defined: %s%s", quoteIfNeeded("--"+name), t.suggestFlag(name))
			args = skipValues(args)
			continue
		}
		if !hasValue && o.typing().byItself {
			value, hasValue = "true", true
		}
		if !hasValue && len(args) > 0 {
			value, hasValue = args[0], true
			args = args[1:]
		}
		if !hasValue {
			r.usage("flag needs an argument: --%s", name)
			o.broken = true
			continue
		}
		o.readFlag(value, r)
	}
	return false
}

func (o *option) readFlag(value string, r *review) {
	if !o.set(value, o.origin == fromFlag) {
		r.usage("invalid value %s for flag --%s: must be %s", quote(value), o.name, o.typing().expects)
		o.broken = true
	}
	o.origin = fromFlag
}

// undash takes one or two dashes away. "-" alone is no flag and "--" ends
// them.
func undash(arg string) (name string, isFlag bool) {
	if len(arg) < 2 || arg[0] != '-' || arg == "--" {
		return "", false
	}
	name = arg[1:]
	return strings.TrimPrefix(name, "-"), true
}

// skipValues drops what may have been meant for an unknown flag.
func skipValues(args []string) []string {
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	return args
}
