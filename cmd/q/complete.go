package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"qmq/internal/names"
	"qmq/internal/nodeclient"
	qsettings "qmq/settings"
)

// completeCommand is q complete, which the scripts of q completion call: the first
// word is the shell, the others are what was typed behind q, the last of them what
// is to be completed.
type completeCommand struct {
	Words []string `arg:"" optional:"" empty:"yes" help:"The shell and what was typed."`
}

// Run prints what the last word may become, one a line: a word and, behind a tab,
// what it means. The line :files or :dirs stands for names of files. It never
// fails: who presses a key wants no message.
func (k *completeCommand) Run(c console, parser *kong.Kong) error {
	if len(k.Words) < 2 {
		return nil
	}
	shell, words := k.Words[0], k.Words[1:]
	if shell == "bash" {
		words = rejoin(words)
	}
	last := words[len(words)-1]
	w := typed{node: parser.Model.Node, root: parser.Model.Node, flags: make(map[string]string)}
	w.read(words[:len(words)-1])
	for _, found := range w.candidates(last) {
		if !strings.HasPrefix(found.word, last) && found.word[0] != ':' {
			continue
		}
		if shell == "bash" {
			fmt.Fprintln(c.out, found.word[broken(last):])
			continue
		}
		fmt.Fprintf(c.out, "%s\t%s\n", found.word, found.means)
	}
	return nil
}

// bash takes these for ends of words, and hands over the pieces.
const breaks = "=:"

// rejoin makes words of what bash made of them.
func rejoin(pieces []string) (words []string) {
	joins := false
	for i, piece := range pieces {
		isBreak := piece != "" && strings.Trim(piece, breaks) == ""
		if i > 0 && (joins || isBreak) {
			words[len(words)-1] += piece
		} else {
			words = append(words, piece)
		}
		joins = isBreak
	}
	return words
}

// broken is how much of a word bash takes for words of their own.
func broken(word string) int { return strings.LastIndexAny(word, breaks) + 1 }

// candidate is what a word may become.
type candidate struct{ word, means string }

// typed is what the words before the one that is completed say.
type typed struct {
	root, node *kong.Node        // of all commands, and the one that is named so far
	args       []string          // its arguments
	flags      map[string]string // and flags, by name
	reach      []string          // those of them that say which nodes
	open       *kong.Flag        // the one whose value is completed; nil: none
	closed     bool              // behind --, where there are no flags
}

func (w *typed) read(words []string) {
	for _, word := range words {
		switch {
		case w.open != nil:
			w.set(w.open, word)
			w.open = nil
		case w.closed || !strings.HasPrefix(word, "-") || word == "-":
			w.argument(word)
		case word == "--":
			w.closed = true
		default:
			w.flag(word)
		}
	}
}

// argument takes the name of a command or an argument.
func (w *typed) argument(word string) {
	for _, child := range w.node.Children {
		if len(w.args) == 0 && (child.Name == word || slices.Contains(child.Aliases, word)) {
			w.node = child
			return
		}
	}
	if w.node.DefaultCmd != nil {
		w.node = w.node.DefaultCmd
	}
	if topic, channel, both := strings.Cut(word, "/"); both && w.isPath(w.node) {
		w.args = append(w.args, topic, channel)
		return
	}
	w.args = append(w.args, word)
}

// isPath tells whether the next argument of a command may be TOPIC/CHANNEL.
func (w *typed) isPath(command *kong.Node) bool {
	return len(w.args) < len(command.Positional) && command.Positional[len(w.args)].Tag.Type == topicAndChannel
}

// flag takes a flag, perhaps with its value.
func (w *typed) flag(word string) {
	name, value, has := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if !strings.HasPrefix(word, "--") {
		name, value, has = word[1:2], word[2:], len(word) > 2
	}
	f := w.flagOf(name)
	switch {
	case f == nil || f.IsBool() && !has:
	case has:
		w.set(f, value)
	default:
		w.open = f
	}
}

func (w *typed) set(f *kong.Flag, value string) {
	w.flags[f.Name] = value
	if f.Group != nil && f.Group.Key == "reach" || f.Name == "context" || f.Name == "config" {
		w.reach = append(w.reach, "--"+f.Name+"="+value)
	}
}

// flagOf is the flag of a name, or of a single letter.
func (w *typed) flagOf(name string) *kong.Flag {
	for _, f := range w.known() {
		if f.Name == name || f.Short != 0 && string(f.Short) == name {
			return f
		}
	}
	return nil
}

// known are the flags that there are here.
func (w *typed) known() (list []*kong.Flag) {
	if w.node.DefaultCmd != nil {
		list = append(list, w.node.DefaultCmd.Flags...)
	}
	for n := w.node; n != nil; n = n.Parent {
		list = append(list, n.Flags...)
	}
	return list
}

// candidates are what a word may become; also others may be among them.
func (w *typed) candidates(word string) []candidate {
	name, _, hasValue := strings.Cut(word, "=")
	switch {
	case w.open != nil:
		return w.values(w.open.Value)
	case !w.closed && strings.HasPrefix(word, "--") && hasValue:
		return w.valuesBehind(name)
	case !w.closed && strings.HasPrefix(word, "-"):
		return w.flagNames()
	}
	var list []candidate
	if len(w.args) == 0 {
		list = commandsBelow(w.node)
	}
	of := w.node
	if of.DefaultCmd != nil {
		of = of.DefaultCmd
	}
	if strings.Contains(word, "/") && w.isPath(of) {
		for _, path := range w.namesOf("path") {
			list = append(list, candidate{path, ""})
		}
	} else if i := len(w.args); i < len(of.Positional) {
		list = append(list, w.values(of.Positional[i])...)
	} else if n := len(of.Positional); n > 0 && of.Positional[n-1].IsCumulative() {
		list = append(list, w.values(of.Positional[n-1])...)
	}
	return list
}

func commandsBelow(n *kong.Node) (list []candidate) {
	for _, child := range n.Children {
		if !child.Hidden {
			list = append(list, candidate{child.Name, firstSentence(child.Help)})
		}
	}
	return list
}

func (w *typed) flagNames() (list []candidate) {
	for _, f := range w.known() {
		if !f.Hidden {
			list = append(list, candidate{"--" + f.Name, firstSentence(f.Help)})
		}
	}
	return list
}

// valuesBehind are values of a flag with the flag before them.
func (w *typed) valuesBehind(flag string) (list []candidate) {
	f := w.flagOf(strings.TrimPrefix(flag, "--"))
	if f == nil {
		return nil
	}
	for _, c := range w.values(f.Value) {
		if c.word[0] != ':' {
			c.word = flag + "=" + c.word
		}
		list = append(list, c)
	}
	return list
}

// firstSentence is what fits beside a word.
func firstSentence(help string) string {
	first, _, more := strings.Cut(help, ". ")
	if !more {
		first = strings.TrimSuffix(first, ".")
	}
	return strings.ReplaceAll(first, "\t", " ")
}

// values are what a flag or an argument may be.
func (w *typed) values(v *kong.Value) (list []candidate) {
	for _, word := range v.EnumSlice() {
		if word != "" {
			list = append(list, candidate{word, ""})
		}
	}
	switch kind := v.Tag.Get("complete"); kind {
	case "":
		if v.Tag.Type == "existingfile" {
			list = append(list, candidate{":files", ""})
		}
	case "file", "dir":
		list = append(list, candidate{":" + kind + "s", ""})
	case "command":
		list = append(list, w.commands()...)
	case "topic-setting":
		list = append(list, settingWords(qsettings.OfTopics())...)
	case "channel-setting":
		list = append(list, settingWords(qsettings.OfChannels())...)
	default:
		for _, name := range w.namesOf(kind) {
			list = append(list, candidate{name, ""})
		}
	}
	return list
}

// settingWords are settings, as far as what they are set to.
func settingWords(all []qsettings.Setting) (list []candidate) {
	for _, s := range all {
		list = append(list, candidate{s.Name + "=", "must be " + s.Allowed})
	}
	return list
}

// commands are those behind the ones that are arguments, as those of q help are.
func (w *typed) commands() []candidate {
	n := w.root
	for _, arg := range w.args {
		i := slices.IndexFunc(n.Children, func(c *kong.Node) bool { return c.Name == arg })
		if i < 0 {
			return nil
		}
		n = n.Children[i]
	}
	return commandsBelow(n)
}

// completionTimeout is how long nodes are asked for names: somebody has pressed a
// key.
const completionTimeout = time.Second

// harmless are names that a shell can be given as they are, wherever they come
// from.
var harmless = regexp.MustCompile(`^[A-Za-z0-9_.:\[\]/#-]+$`)

// namesOf are those of topics, channels or nodes, asked of the cluster that the
// flags, the environment and the configuration file name; none where it does not
// answer soon.
func (w *typed) namesOf(kind string) []string {
	var flags commands
	args := append([]string{"topics", "list", fmt.Sprint("--timeout=", completionTimeout)}, w.reach...)
	parser := kong.Must(&flags, kongOptions(console{}, func(int) { panic(early(exitUsage)) })...)
	if _, err := parser.Parse(args); err != nil {
		return nil
	}
	cl, err := flags.Topics.List.open()
	if err != nil {
		return nil
	}
	defer cl.close()
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	list, err := cl.namesOf(ctx, kind, w.topic())
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(name string) bool { return !harmless.MatchString(name) })
}

// topic is the one that is named already.
func (w *typed) topic() string {
	for i, arg := range w.node.Positional {
		if arg.Tag.Get("complete") == "topic" && i < len(w.args) {
			return w.args[i]
		}
	}
	return w.flags["topic"]
}

// namesOf are the names of a kind: topic, channel (of a topic), path (a topic and a
// channel of it), node, or of a replicated set member or shard.
func (c *cluster) namesOf(ctx context.Context, kind, topic string) (list []string, err error) {
	switch {
	case kind == "topic":
		return c.topics(ctx)
	case kind == "member" || kind == "shard":
		return c.namesOfSet(ctx, kind)
	case kind == "node":
		nodes, err := c.httpNodes(ctx, topic)
		for _, n := range nodes {
			list = append(list, n.Name)
		}
		return list, err
	case kind == "channel" && !names.Valid(topic):
		return nil, nil
	case kind == "channel" && len(c.lookupds) > 0:
		return c.lookup.Channels(ctx, c.lookupds, topic)
	}
	s, err := c.snapshot(ctx, nodeclient.Wanted{Topic: topic})
	if err != nil {
		return nil, err
	}
	for _, f := range s.figures("channel") {
		if kind == "path" {
			f.Channel = f.Topic + "/" + f.Channel
		}
		list = append(list, f.Channel)
	}
	return list, nil
}
