package config

import (
	"fmt"
	"strings"
)

// readFlags reads args. What is no flag is a mistake, and so is everything
// behind it, for flags that are dropped in silence open doors. After any other
// mistake it goes on with the next flag, to find them all. help is true when
// help was asked for before anything was wrong.
//
// The flag package is not used because it stops at the first mistake.
func (t table) readFlags(args []string, r *review) (help bool) {
	for len(args) > 0 {
		name, isFlag := undash(args[0])
		if !isFlag {
			t.refuseRest(args, r)
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
		if !hasValue && len(args) > 0 && !t.isFlag(args[0]) {
			value, hasValue = args[0], true
			args = args[1:]
		}
		if !hasValue {
			r.usage("flag needs an argument: --%s%s", name, t.nextFlag(args, name))
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

// refuseRest tells of the first of args, which is no flag, and of the flags
// behind it. "--" alone, which ends the flags, may end the command line.
func (t table) refuseRest(args []string, r *review) {
	if args[0] == "--" {
		if args = args[1:]; len(args) == 0 {
			return
		}
	}
	text := "unexpected argument " + quote(args[0])
	if flags := t.flagsIn(args); len(flags) > 0 {
		text += ", which would drop what follows it: " + strings.Join(flags, ", ")
	}
	if _, isBool := parseBool(args[0]); isBool {
		text += "; the value of a switch follows =, as in --name=" + args[0]
	}
	r.usage("%s", text)
}

// flagsIn are the flags in args, without their values, which may be secret.
func (t table) flagsIn(args []string) (flags []string) {
	const most = 20
	for _, arg := range args {
		name, isFlag := undash(arg)
		if !isFlag {
			continue
		}
		if len(flags) == most {
			return append(flags, "…")
		}
		name, _, _ = strings.Cut(name, "=")
		flags = append(flags, quoteIfNeeded("--"+name))
	}
	return flags
}

// isFlag tells whether arg is a flag that there is, and so not the value of the
// one before it.
func (t table) isFlag(arg string) bool {
	name, isFlag := undash(arg)
	if !isFlag {
		return false
	}
	name, _, _ = strings.Cut(name, "=")
	return t.named(name) != nil
}

// nextFlag ends the sentence about a flag without value, when the next flag
// stands where the value should.
func (t table) nextFlag(args []string, name string) string {
	if len(args) == 0 {
		return ""
	}
	next, _ := undash(args[0])
	next, _, _ = strings.Cut(next, "=")
	return fmt.Sprintf("; --%s follows it (a value that looks like a flag is written --%s=VALUE)", next, name)
}

// skipValues drops what may have been meant for an unknown flag.
func skipValues(args []string) []string {
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	return args
}
