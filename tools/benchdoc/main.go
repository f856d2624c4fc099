// Command benchdoc measures what Q's documents tell about speed: qd beside
// nsqd, or another qd, over a table of loads, a replicated set beside an unreplicated
// qd and beside JetStream, and how the cost of a message grows. It starts the daemons itself and writes Markdown, charts and JSON. It is
// a tool for those who work on Q; users measure their own with q bench.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command could not do what it should
	exitUsage  = 2 // the command line cannot be read
)

// commands are the subcommands of benchdoc.
type commands struct {
	Table  tableCommand  `cmd:"" help:"Compare two daemons, which are started in turn, over a table of loads."`
	Set    setCommand    `cmd:"" help:"Measure a set of three beside an unreplicated qd: what a message costs, and how long a fault is noticed."`
	Peers  peersCommand  `cmd:"" help:"Measure a set of three beside three nats-servers that keep the same stream: publishing and consuming."`
	Growth growthCommand `cmd:"" help:"Measure what a message costs as sizes, numbers and what stands in the daemon grow."`
}

// console is where a subcommand writes.
type console struct {
	context.Context // done with the first signal
	out, err        io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(os.Args[1:], console{ctx, os.Stdout, os.Stderr}))
}

// run is benchdoc from its arguments to its exit code.
func run(args []string, c console) (exit int) {
	defer func() {
		if e, ok := recover().(early); ok { // help ends the program in the middle of parsing
			exit = int(e)
		}
	}()
	parser := kong.Must(new(commands),
		kong.Name("benchdoc"),
		kong.Description("Measures for Q's documents."),
		kong.Writers(c.out, c.err),
		kong.Exit(func(code int) { panic(early(code)) }),
	)
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(c.err, "benchdoc: %s; benchdoc --help explains it\n", err)
		return exitUsage
	}
	if err := command.Run(c); err != nil {
		fmt.Fprintf(c.err, "benchdoc: %s\n", err)
		return exitFailed
	}
	return exitOK
}

// early is an exit code that parsing ended with.
type early int

// errUnsound makes the exit code tell that qd lost or altered messages.
var errUnsound = errors.New("messages were lost or altered")

// report is a result that can be told.
type report interface {
	Sound() bool
	WriteText(io.Writer) error
}

// output is where a report goes.
type output struct {
	JSON bool   `name:"json" help:"Write the report as JSON and not as Markdown."`
	Out  string `placeholder:"FILE" help:"Also write the report as JSON to this file."`
}

// tell writes a report.
func (o *output) tell(c console, r report) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if o.Out != "" {
		if err := os.WriteFile(o.Out, text, 0o666); err != nil {
			return err
		}
	}
	if o.JSON {
		_, err = c.out.Write(text)
	} else {
		err = r.WriteText(c.out)
	}
	if err == nil && !r.Sound() {
		err = errUnsound
	}
	return err
}

// rows choose what is measured.
type rows struct {
	Rows string `placeholder:"REGEX" help:"Measure only those whose name matches."`
}

// chosen is nil where all are.
func (r *rows) chosen() (*regexp.Regexp, error) {
	if r.Rows == "" {
		return nil, nil
	}
	matching, err := regexp.Compile(r.Rows)
	if err != nil {
		return nil, fmt.Errorf("--rows: %w", err)
	}
	return matching, nil
}

// writeFile writes a file with what write writes.
func writeFile(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}
