package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// settings are what the configuration file gives to flags that neither the
// command line nor the environment has set: those of a context, which says where
// some nodes are and how to reach them.
//
//	context = "local"              # the one that is used when none is named
//
//	[contexts.local]
//	addr = ["127.0.0.1:4150"]
//
//	[contexts.prod]
//	lookupd = ["lookup1.example:4161", "lookup2.example:4161"]
//	tls = true
//	auth-secret = "…"
type settings struct {
	Context  string                    `toml:"context"`
	Contexts map[string]map[string]any `toml:"contexts"`

	// For the resolver.
	read bool
	err  error
	path string
}

// Validate is there for kong.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve gives a flag its value from the context. Flags that are no matter of
// contexts have none.
func (s *settings) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Group == nil || flag.Group.Key != "reach" || fromEnvironment(flag) {
		return nil, nil
	}
	if !s.read {
		s.read = true
		s.err = s.load(valueOf(ctx, "config"))
	}
	if s.err != nil {
		return nil, s.err
	}
	name := valueOf(ctx, "context")
	if name == "" {
		name = s.Context
	}
	if name == "" {
		return nil, nil
	}
	values, ok := s.Contexts[name]
	if !ok {
		if len(s.Contexts) == 0 {
			return nil, fmt.Errorf("there is no context %q: %s is not there, or has none", name, s.path)
		}
		known := strings.Join(slices.Sorted(maps.Keys(s.Contexts)), ", ")
		return nil, fmt.Errorf("%s has no context %q; it has: %s", s.path, name, known)
	}
	if err := s.check(ctx, name, values); err != nil {
		return nil, err
	}
	return asText(values[flag.Name]), nil
}

// fromEnvironment tells whether the environment has set a flag: the file gives
// way to it.
func fromEnvironment(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Envs, func(name string) bool { _, ok := os.LookupEnv(name); return ok })
}

// valueOf is the value of a flag of q itself.
func valueOf(ctx *kong.Context, name string) string {
	for _, flag := range ctx.Model.Flags {
		if flag.Name == name {
			text, _ := ctx.FlagValue(flag).(string)
			return text
		}
	}
	return ""
}

// load reads the file. Only one that somebody named must be there.
func (s *settings) load(path string) error {
	named := path != ""
	if !named {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil // no home: no file
		}
		path = filepath.Join(dir, "q", "config.toml")
	}
	s.path = path
	meta, err := toml.DecodeFile(path, s)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("%s: %s is no setting: there are context and contexts", path, unknown[0])
	}
	return nil
}

// check finds keys of a context that are no flags of it.
func (s *settings) check(ctx *kong.Context, name string, values map[string]any) error {
	known := make(map[string]bool)
	for _, flag := range ctx.Flags() {
		if flag.Group != nil && flag.Group.Key == "reach" {
			known[flag.Name] = true
		}
	}
	for key := range values {
		if !known[key] {
			return fmt.Errorf("%s: context %s: %s is no setting; there are %s", s.path, name, key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}

// asText is a value of the file as kong reads flags.
func asText(value any) any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		list := make([]string, len(v))
		for i, one := range v {
			list[i] = fmt.Sprint(one)
		}
		return kong.JoinEscaped(list, ',')
	}
	return fmt.Sprint(value)
}
