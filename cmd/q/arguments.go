package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// position is a place in a log, as nodes read it. It may begin with a -, as -1h does.
type position string

// Decode takes it over, and no flag in its place.
func (p *position) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	if text, ok := token.Value.(string); ok && !token.IsEOL() && (token.Type != kong.UntypedToken || !strings.HasPrefix(text, "-") || isAgo(text)) {
		*p = position(text)
		return nil
	}
	return errors.New("a place is missing, such as first, -1h30m or 2026-11-28T12:00:00Z")
}

// isAgo tells whether a word says how long ago something was. No flag of q is a digit.
func isAgo(word string) bool {
	return len(word) > 1 && word[0] == '-' && (word[1] == '.' || word[1] >= '0' && word[1] <= '9')
}

// readDuration reads one as Go writes them, with a unit.
func readDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Pop()
	if token.IsEOL() {
		return errors.New("a duration is missing, such as 500ms, 30s or 1h30m")
	}
	d, err := time.ParseDuration(token.String())
	if err != nil {
		return fmt.Errorf("a duration such as 500ms, 30s or 1h30m is wanted, not %q", token.String())
	}
	target.SetInt(int64(d))
	return nil
}

// topicAndChannel is the type of the topic of a command that takes a topic and a channel, which
// may be one word: TOPIC/CHANNEL.
const topicAndChannel = "topic-and-channel"

// readTopic reads one.
func readTopic(ctx *kong.DecodeContext, target reflect.Value) error {
	var rest []kong.Token
	word := ctx.Scan.Pop()
	for !ctx.Scan.Peek().IsEOL() {
		rest = append(rest, ctx.Scan.Pop())
	}
	for len(rest) > 0 {
		last := rest[len(rest)-1]
		if text, ok := last.Value.(string); ok && last.Type == kong.UntypedToken && isAgo(text) {
			last.Type = kong.PositionalArgumentToken // where a channel is rewound to
		}
		ctx.Scan.PushToken(last)
		rest = rest[:len(rest)-1]
	}
	topic, channel, both := strings.Cut(word.String(), "/")
	target.SetString(topic)
	if both {
		ctx.Scan.PushTyped(channel, kong.PositionalArgumentToken)
	}
	return nil
}

// refuseEmpty refuses an argument or a flag of the command line that is there and says nothing,
// as it is where a script's variable is not set; empty:"yes" allows it.
func refuseEmpty(command *kong.Context) error {
	for _, p := range command.Path {
		switch {
		case p.Resolved: // of the configuration
		case p.Flag != nil && (isEmpty(p.Flag.Value) || isListed(p.Flag) && slices.Contains(command.Args, "--"+p.Flag.Name+"=")):
			return fmt.Errorf("--%s is empty", p.Flag.Name)
		case p.Positional != nil && isEmpty(p.Positional):
			return fmt.Errorf("<%s> is empty", p.Positional.Name)
		}
	}
	return nil
}

func isEmpty(v *kong.Value) bool {
	if v.Tag.Get("empty") != "" {
		return false
	}
	switch v.Target.Kind() {
	case reflect.String:
		return v.Target.Len() == 0
	case reflect.Slice:
		for i := range v.Target.Len() {
			if e := v.Target.Index(i); e.Kind() == reflect.String && e.Len() == 0 {
				return true
			}
		}
		return v.Target.Len() == 0
	}
	return false
}

// isListed tells of a flag that may be repeated: kong leaves out what is empty beside others.
func isListed(f *kong.Flag) bool {
	return f.Tag.Get("empty") == "" && f.Target.Kind() == reflect.Slice
}
