package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"qmq/config"
)

// referenceCommand is q reference: what docs/q.md, the man page and
// docs/configuration.md are made by.
type referenceCommand struct {
	Format string `arg:"" enum:"markdown,man,configuration" default:"markdown" optional:"" help:"markdown or man, or configuration for the options of the daemons."`
}

// Run writes the reference of all commands, or of the daemons' options, from the
// declarations by which command lines are read.
func (r *referenceCommand) Run(c console, k *kong.Kong) error {
	var text string
	switch r.Format {
	case "man":
		text = manPage(k.Model.Node)
	case "configuration":
		text = config.Reference()
	default:
		text = markdown(k.Model.Node)
	}
	_, err := io.WriteString(c.out, text)
	return err
}

// exitCodes are those of all commands but q health and q check.
var exitCodes = [][2]string{
	{"0", "it is done; a command that goes on until it is stopped was stopped"},
	{"1", "it could not be done; what is wrong and what was done is said on the standard error"},
	{"2", "the command line or the configuration file cannot be read"},
	{"75", "it could not be done just now, as while nobody leads a replicated set: a node has answered UNAVAILABLE. The same command may do it in a moment"},
	{"130", "a signal came before it was through"},
}

// leaves calls f for each command that can be run.
func leaves(n *kong.Node, f func(*kong.Node)) {
	for _, child := range n.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		if child.Leaf() {
			f(child)
		}
		leaves(child, f)
	}
}

// own are the flags of a command, without those that say which nodes.
func own(n *kong.Node) (list []*kong.Flag, reaches bool) {
	for _, flag := range n.Flags {
		switch {
		case flag.Hidden || flag.Name == "help":
		case flag.Group != nil && flag.Group.Key == "reach":
			reaches = true
		default:
			list = append(list, flag)
		}
	}
	return list, reaches
}

// reachFlags are the flags that say which nodes, and how.
func reachFlags(n *kong.Node) (list []*kong.Flag) {
	leaves(n, func(leaf *kong.Node) {
		if len(list) > 0 {
			return
		}
		for _, flag := range leaf.Flags {
			if flag.Group != nil && flag.Group.Key == "reach" {
				list = append(list, flag)
			}
		}
	})
	return list
}

func markdown(app *kong.Node) string {
	var b strings.Builder
	b.WriteString("# q\n\nThe tool of Q, generated from the declarations of its command line (`q reference`). `q COMMAND --help` says the same.\n")
	if flags, _ := own(app); len(flags) > 0 {
		b.WriteString("\n")
		flagRows(&b, flags)
	}
	b.WriteString("\n## Which nodes, and how\nCommands that ask or tell nodes have these flags. A flag wins over the environment, and that over the context of the configuration file.\n\n")
	flagRows(&b, reachFlags(app))
	b.WriteString("\nThe configuration file:\n```toml\n" + configurationExample + "```\n")
	b.WriteString("\n## Exit codes\n| | |\n|---|---|\n")
	for _, code := range exitCodes {
		fmt.Fprintf(&b, "| %s | %s |\n", code[0], code[1])
	}
	leaves(app, func(n *kong.Node) {
		fmt.Fprintf(&b, "\n## q %s\n%s\n\n    q %s\n", n.Path(), n.Help, n.Summary())
		for _, arg := range n.Positional {
			fmt.Fprintf(&b, "\n- `%s`: %s", arg.Summary(), arg.Help)
		}
		if len(n.Positional) > 0 {
			b.WriteString("\n")
		}
		flags, reaches := own(n)
		if len(flags) > 0 {
			b.WriteString("\n")
			flagRows(&b, flags)
		}
		if reaches {
			b.WriteString("\nAnd [which nodes, and how](#which-nodes-and-how).\n")
		}
		if n.Detail != "" {
			fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(n.Detail))
		}
	})
	return b.String()
}

// configurationExample is a file as people write it.
const configurationExample = `context = "local"              # the one that is used when none is named

[contexts.local]
addr = ["127.0.0.1:4150"]

[contexts.prod]                # q --context=prod stat
lookupd = ["lookup1.example:4161", "lookup2.example:4161"]
tls = true
auth-secret = "..."
`

func flagRows(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | default | |\n|---|---|---|\n")
	for _, flag := range flags {
		name := "`--" + flag.Name + "`"
		if flag.Short != 0 {
			name = "`-" + string(flag.Short) + "`, " + name
		}
		value := ""
		if flag.HasDefault && !flag.IsBool() {
			value = "`" + flag.Default + "`"
		}
		help := flag.Help
		if len(flag.Envs) > 0 && !strings.Contains(help, "$"+flag.Envs[0]) {
			help += " (`$" + flag.Envs[0] + "`)"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, value, strings.ReplaceAll(help, "|", "\\|"))
	}
}

func manPage(app *kong.Node) string {
	var b strings.Builder
	b.WriteString(".TH Q 1\n.SH NAME\nq \\- the tool of Q, a distributed message queue\n.SH SYNOPSIS\n.B q\nCOMMAND [FLAGS]\n")
	b.WriteString(".SH WHICH NODES, AND HOW\n")
	manFlags(&b, reachFlags(app))
	leaves(app, func(n *kong.Node) {
		fmt.Fprintf(&b, ".SH q %s\n%s\n.PP\n.B q %s\n", roff(n.Path()), roff(n.Help), roff(n.Summary()))
		for _, arg := range n.Positional {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(arg.Summary()), roff(arg.Help))
		}
		flags, _ := own(n)
		manFlags(&b, flags)
		if n.Detail != "" {
			fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(n.Detail)))
		}
	})
	b.WriteString(".SH EXIT STATUS\n")
	for _, code := range exitCodes {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", code[0], roff(code[1]))
	}
	return b.String()
}

func manFlags(b *strings.Builder, flags []*kong.Flag) {
	for _, flag := range flags {
		name := "--" + flag.Name
		if flag.Short != 0 {
			name = "-" + string(flag.Short) + ", " + name
		}
		if flag.HasDefault && !flag.IsBool() {
			name += "=" + flag.Default
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(flag.Help))
	}
}

// roff is a text that is not taken for requests of the formatter.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
