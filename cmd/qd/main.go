// Command qd stores messages of topics and delivers them to the consumers of
// channels. It speaks NSQ's protocol and takes nsqd's options.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"qmq/config"
	"qmq/server"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // could not start, or could not store everything at the end
	exitUsage  = 2 // the command line cannot be read
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args, os.Stdout, os.Stderr, signals))
}

// run is qd from its command line, program name first, to its exit code. The
// first signal ends it in good order, a second one at once.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) (exit int) {
	settings, err := config.ParseQD(args[1:])
	if err != nil {
		return explain(err, filepath.Base(args[0]), stderr)
	}
	q := settings.Values()
	if q.ShowVersion {
		fmt.Fprintln(stdout, server.VersionString("qd"))
		return exitOK
	}
	level := new(slog.LevelVar)
	level.Set(q.LogLevel.Level())
	log := newLogger(stderr, q.LogPrefix, level)
	log.Info(server.VersionString("qd"))
	log.Info(fmt.Sprintf("ID: %d", q.NodeID))
	warn(settings, log)
	if err := unsafeWithout(settings); err != nil {
		return failStart(log, err)
	}
	d, err := startDaemon(settings, level, log)
	if err != nil {
		return failStart(log, err)
	}

	select {
	case s := <-signals:
		log.Info("stopping", slog.String("signal", s.String()))
	case err = <-d.failed:
		log.Error("a listener failed", slog.Any("error", err))
		exit = exitFailed
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	select {
	case err = <-stopped:
	case <-signals:
		err = errors.New("told twice to stop")
	}
	if err != nil {
		log.Error("not stopped in good order", slog.Any("error", err))
		return exitFailed
	}
	log.Info("bye")
	return exit
}

// explain tells why there is nothing to run. The mistakes come after the long
// usage text, where one sees them.
func explain(err error, program string, stderr io.Writer) (exit int) {
	switch {
	case errors.Is(err, config.ErrHelp):
		fmt.Fprint(stderr, config.UsageQD(program))
		return exitOK
	case errors.Is(err, config.ErrUsage):
		fmt.Fprintf(stderr, "%s\n%s\n", config.UsageQD(program), err)
		return exitUsage
	}
	return failStart(newLogger(stderr, "[qd] ", slog.LevelInfo), err)
}

// failStart logs what the start failed with, a line for each mistake.
func failStart(log *slog.Logger, err error) (exit int) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Log(context.Background(), config.LevelFatal, "failed to start qd - "+line)
	}
	return exitFailed
}

// warn logs, once each, what the user may not have meant.
func warn(settings *config.Settings[config.QD], log *slog.Logger) {
	for _, text := range settings.Warnings() {
		log.Warn(text)
	}
	for _, flag := range settings.WithoutEffect() {
		log.Warn("option has no effect", slog.String("option", flag))
	}
	for _, text := range unavailable(settings) {
		log.Warn("not available in this version: " + text)
	}
}
