// Package accept takes connections from listeners and survives the errors that
// pass, such as too many open files: it waits, longer each time, instead of
// spinning or giving up. It closes nothing and has no goroutine of its own.
package accept

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"
)

// How long to wait after an error, and how often to say so.
const (
	firstWait   = 5 * time.Millisecond
	longestWait = time.Second
	logEvery    = time.Second
)

// Loop gives each connection that comes to l to start, one at a time, until
// stop is closed; then it returns nil. The listener must be closed after stop,
// to end a wait for the next connection. An error means that l fails for good.
func Loop(l net.Listener, stop <-chan struct{}, log *slog.Logger, start func(net.Conn)) error {
	wait := firstWait
	var logged time.Time
	for {
		conn, err := l.Accept()
		if err == nil {
			wait = firstWait
			start(conn)
			continue
		}
		if isClosed(stop) {
			return nil
		}
		if !passes(err) {
			return err
		}
		if now := time.Now(); now.Sub(logged) >= logEvery {
			logged = now
			log.Warn("cannot accept connections", slog.Any("error", err), slog.Duration("retry", wait))
		}
		select {
		case <-stop:
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

func isClosed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// passing are errors that say nothing against the listener: there is no memory
// now, or, as accept(2) of Linux has it, something has happened to the one
// connection or was not allowed to it. What net calls temporary comes on top.
var passing = []error{
	syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ENETDOWN, syscall.EPROTO, syscall.ENOPROTOOPT, syscall.EHOSTDOWN,
	syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ENETUNREACH, syscall.EPERM,
}

// passes tells errors that go away, such as too many open files, from those of
// a listener that is broken.
func passes(err error) bool {
	is := func(target error) bool { return errors.Is(err, target) }
	if slices.ContainsFunc(passing, is) {
		return true
	}
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}
