package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// console is what a subcommand talks to.
type console struct {
	in       io.Reader
	out, err io.Writer
	signals  <-chan os.Signal
}

// untilSignal is done after the first signal. A second one ends the process at
// once. Stop ends the watching.
func (c console) untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		select {
		case <-c.signals:
			cancel()
		case <-stopped:
			return
		}
		select {
		case <-c.signals:
			os.Exit(exitInterrupted)
		case <-stopped:
		}
	}()
	return ctx, func() {
		close(stopped)
		cancel()
	}
}

// isTerminal tells whether somebody looks at, or types, what f is about.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// errNotAsked means that a command wants to be allowed to go on and there is
// nobody to ask.
var errNotAsked = errors.New("without a terminal it needs --yes")

// confirm asks whether to go on. Yes is the answer that was given beforehand.
func (c console) confirm(ctx context.Context, yes bool, what string) error {
	if yes {
		return nil
	}
	if !isTerminal(c.in) || !isTerminal(c.err) {
		return fmt.Errorf("%s: %w", what, errNotAsked)
	}
	fmt.Fprintf(c.err, "%s. Go on? [y/N] ", what)
	answer := make(chan string, 1)
	go func() {
		line, _ := readLine(c.in)
		answer <- line
	}()
	select {
	case line := <-answer:
		if strings.EqualFold(line, "y") || strings.EqualFold(line, "yes") {
			return nil
		}
	case <-ctx.Done():
		fmt.Fprintln(c.err)
	}
	return errors.New("nothing was done")
}

// examples are what the help of a command ends with: pairs of a purpose and a
// command line.
func examples(pairs ...string) string {
	var b strings.Builder
	b.WriteString("Examples:\n")
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "\n    # %s\n    %s\n", pairs[i], pairs[i+1])
	}
	return b.String()
}
