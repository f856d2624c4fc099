package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"qmq/config"
	"qmq/internal/redact"
	"qmq/internal/version"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // could not start, or could not store everything at the end
	exitUsage  = 2 // the command line cannot be read
)

// Daemon is what runs between start and stop.
type Daemon interface {
	// Failed delivers an error when a listener failed for good.
	Failed() <-chan error
	// Addresses are where it listens, by TCP, HTTP and HTTPS; a port that was
	// asked for as 0 is the one that it got.
	Addresses() map[string]string
	// Stop ends everything in good order and waits for it. It is called once.
	Stop() error
}

// Drainer is a daemon that may be emptied before it stops.
type Drainer interface {
	Daemon
	// DrainFor is told of a signal, one call at a time. True: it does not end the daemon,
	// which is drained now.
	DrainFor(s os.Signal) bool
	// Drained is closed when it is to stop.
	Drained() <-chan struct{}
}

// Drained is closed when d is to stop because it was drained; nil for a daemon that
// never is.
func Drained(d Daemon) <-chan struct{} {
	if d, ok := d.(Drainer); ok {
		return d.Drained()
	}
	return nil
}

// Program is a daemon before its start, with options V.
type Program[V any] struct {
	Name  string // of the daemon, such as qd
	Parse func(args []string) (*config.Settings[V], error)
	// Usage is the help text of a program of that name.
	Usage  func(program string) string
	Common func(options V) config.Common
	Start  func(settings *config.Settings[V], level *slog.LevelVar, log *slog.Logger) (Daemon, error)
	// Instead does what the options ask for instead of a start, if they do; nil: there
	// is no such thing.
	Instead func(options V, stdout io.Writer, log *slog.Logger) (done bool, err error)
	// Coarse says whether threads may sleep for up to a millisecond longer than they ask
	// for, and that of Go's scheduler that looks after them for up to four, which takes less
	// CPU time; nil: they may not.
	Coarse func(options V) bool
}

// Exec is the body of a main function: it runs the process's command line,
// ends with SIGINT and SIGTERM, and exits. A program with Coarse calls it on the first
// thread of the process, which it need not keep from then on.
func Exec[V any](p Program[V]) {
	holdHangups()
	settings, err := p.Parse(os.Args[1:])
	if err == nil {
		p.coarsen(settings.Values(), os.Args)
	}
	runtime.UnlockOSThread()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(p.run(settings, err, os.Args[0], os.Stdout, os.Stderr, signals))
}

// Main runs p from its command line, program name first, to its exit code. The
// first signal ends it in good order, a second one at once (see [Finish]).
func Main[V any](p Program[V], args []string, stdout, stderr io.Writer, signals <-chan os.Signal) (exit int) {
	settings, err := p.Parse(args[1:])
	return p.run(settings, err, args[0], stdout, stderr, signals)
}

// run is Main, once the command line of a program of that name is read, or could not be.
func (p Program[V]) run(settings *config.Settings[V], err error, name string, stdout, stderr io.Writer, signals <-chan os.Signal) (exit int) {
	if err != nil {
		return p.explain(err, filepath.Base(name), stderr)
	}
	if p.Common(settings.Values()).ShowVersion {
		fmt.Fprintln(stdout, version.String(p.Name))
		return exitOK
	}
	if p.Instead != nil {
		log := NewLogger(stderr, p.Common(settings.Values()).LogPrefix, p.Common(settings.Values()).LogLevel.Level())
		if done, err := p.Instead(settings.Values(), stdout, log); err != nil {
			return p.failStart(log, err)
		} else if done {
			return exitOK
		}
	}
	d, log, err := p.start(settings, stderr)
	if err != nil {
		return p.failStart(log, err)
	}
	return supervise(d, log, signals)
}

// Launch starts p with the flags in args, for a program that runs more than
// one daemon. The log goes to stderr.
func Launch[V any](p Program[V], args []string, stderr io.Writer) (Daemon, error) {
	settings, err := p.Parse(args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	d, _, err := p.start(settings, stderr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return d, nil
}

func (p Program[V]) start(settings *config.Settings[V], stderr io.Writer) (Daemon, *slog.Logger, error) {
	common := p.Common(settings.Values())
	level := new(slog.LevelVar)
	level.Set(common.LogLevel.Level())
	log := NewLogger(stderr, common.LogPrefix, level)
	log.Info(version.String(p.Name))
	warn(settings, log)
	d, err := p.Start(settings, level, log)
	return d, log, err
}

// supervise waits for the end of d's life and gives it a good one.
func supervise(d Daemon, log *slog.Logger, signals <-chan os.Signal) (exit int) {
	for going := true; going; {
		select {
		case s := <-signals:
			if drainer, ok := d.(Drainer); ok && drainer.DrainFor(s) {
				continue
			}
			log.Info("stopping", slog.String("signal", s.String()))
		case <-Drained(d):
			log.Info("stopping: the node was drained")
		case err := <-d.Failed():
			log.Error("a listener failed", slog.Any("error", err))
			exit = exitFailed
		}
		going = false
	}
	if err := Finish(d.Stop, signals); err != nil {
		log.Error("not stopped in good order", slog.Any("error", err))
		return exitFailed
	}
	log.Info("bye")
	return exit
}

// SameSignal is how long after the first signal others count as the same one:
// a terminal and a supervisor may each send one.
const SameSignal = 100 * time.Millisecond

// Finish calls stop and returns what it returns, or an error when meanwhile
// another signal tells to end at once. Signals that come within 100 ms count as
// the one that was the reason to stop.
func Finish(stop func() error, signals <-chan os.Signal) error {
	begun := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for {
		select {
		case err := <-stopped:
			return err
		case <-signals:
			if time.Since(begun) >= SameSignal {
				return errors.New("told twice to stop")
			}
		}
	}
}

// explain tells why there is nothing to run: the mistakes, and where all flags
// are explained.
func (p Program[V]) explain(err error, program string, stderr io.Writer) (exit int) {
	switch {
	case errors.Is(err, config.ErrHelp):
		fmt.Fprint(stderr, p.Usage(program))
		return exitOK
	case errors.Is(err, config.ErrUsage):
		fmt.Fprintf(stderr, "%s: %s\nUsage: %[1]s [flags]; %[1]s --help explains them all\n", program, strings.ReplaceAll(redact.Text(err.Error()), "\n", "\n"+program+": "))
		return exitUsage
	}
	return p.failStart(NewLogger(stderr, "["+p.Name+"] ", slog.LevelInfo), err)
}

// failStart logs what the start failed with, a line for each mistake.
func (p Program[V]) failStart(log *slog.Logger, err error) (exit int) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Log(context.Background(), config.LevelFatal, "failed to start "+p.Name+" - "+line)
	}
	return exitFailed
}

// warn logs, once each, what the user may not have meant.
func warn[V any](settings *config.Settings[V], log *slog.Logger) {
	for _, text := range settings.Warnings() {
		log.Warn(text)
	}
	for _, flag := range settings.WithoutEffect() {
		log.Warn("option has no effect", slog.String("option", flag))
	}
}
