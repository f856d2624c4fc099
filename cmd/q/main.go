// Command q is the tool of Q: it runs a node for development, asks daemons
// whether they are well, and measures them.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"qmq/admin"
	"qmq/internal/redact"
	"qmq/internal/version"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command could not do what it should
	exitUsage  = 2 // the command line cannot be read
)

// commands are the subcommands of q.
type commands struct {
	Dev     devCommand       `cmd:"" help:"Run all daemons in one process, to try things out."`
	Ping    pingCommand      `cmd:"" help:"Ask daemons over HTTP whether they are well."`
	Bench   benchCommand     `cmd:"" help:"Put load on a daemon, check what comes back, and measure."`
	Passwd  passwdCommand    `cmd:"" help:"Set the password of somebody who may sign in at qadmin."`
	Say     versionCommand   `cmd:"" name:"version" help:"Print the version."`
	Help    helpCommand      `cmd:"" help:"Explain a command."`
	Version kong.VersionFlag `short:"v" help:"Print the version and exit."`
}

// versionCommand is q version.
type versionCommand struct{}

// Run prints what --version prints.
func (versionCommand) Run(c console) error {
	_, err := fmt.Fprintln(c.out, version.String("q"))
	return err
}

// helpCommand is q help; run turns it into --help of what it names.
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command, such as bench pub."`
}

// console is what a subcommand talks to.
type console struct {
	in       io.Reader
	out, err io.Writer
	signals  <-chan os.Signal
}

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], console{os.Stdin, os.Stdout, os.Stderr, signals}))
}

// run is q from its arguments to its exit code.
func run(args []string, c console) (exit int) {
	// Help and version end the program in the middle of parsing.
	defer func() {
		if e, ok := recover().(early); ok {
			exit = int(e)
		}
	}()
	parser := kong.Must(new(commands),
		kong.Name("q"),
		kong.Description("The tool of Q, a distributed message queue."),
		kong.Writers(c.out, c.err),
		kong.Exit(func(code int) { panic(early(code)) }),
		kong.Vars{"version": version.String("q"), "roles": strings.Join(admin.Roles, " or ")},
	)
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(c.err, "q: %s\n%s\n", wrong(err), usageAfter(err))
		return exitUsage
	}
	if err := command.Run(c); err != nil {
		fmt.Fprintf(c.err, "q: %s\n", redact.Text(err.Error()))
		return exitFailed
	}
	return exitOK
}

// wrong is what was wrong with a command line. Where a command is missing, all
// there are are named: kong leaves some out.
func wrong(err error) string {
	const missing = "expected one of "
	var parse *kong.ParseError
	if !strings.HasPrefix(err.Error(), missing) || !errors.As(err, &parse) {
		return err.Error()
	}
	at := parse.Context.Selected()
	if at == nil {
		at = parse.Context.Model.Node
	}
	var names []string
	for _, child := range at.Children {
		names = append(names, strconv.Quote(child.Name))
	}
	return missing + strings.Join(names, ", ")
}

// usageAfter is a line that tells how the command would be written that could
// not be read.
func usageAfter(err error) string {
	var wrong *kong.ParseError
	usage, path := "q <command> [flags]", "q"
	if errors.As(err, &wrong) {
		if chosen := wrong.Context.Selected(); chosen != nil {
			usage, path = "q "+chosen.Summary(), "q "+chosen.Path()
		}
	}
	return fmt.Sprintf("Usage: %s; %s --help explains it", usage, path)
}

// early is an exit code that parsing ended with.
type early int
