// Package acceptloop takes connections from listeners: it survives the errors that
// pass, such as too many open files, by waiting, longer each time, instead of
// spinning or giving up; it leaves a reserve of descriptors to those who are
// connected already, for their files; and it counts connections against a
// limit. It has no goroutine of its own.
package acceptloop

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// How long to wait after an error, and how often to say so.
const (
	firstWait = 5 * time.Millisecond
	maxWait   = time.Second
	logEvery  = time.Second
)

// Loop gives each connection that comes to l to start, one at a time, until
// stop is closed; then it returns nil. The listener must be closed after stop,
// to end a wait for the next connection. An error means that l fails for good.
func Loop(l net.Listener, stop <-chan struct{}, log *slog.Logger, start func(net.Conn)) error {
	p := &patient{Listener: l, stop: stop, log: log, spare: spareDescriptors}
	for {
		conn, err := p.Accept()
		switch {
		case err == nil:
			start(conn)
		case isClosed(stop):
			return nil
		default:
			return err
		}
	}
}

// Patient is l for servers with an accept loop of their own: Accept waits where
// [Loop] does, and returns an error only when l fails for good or was closed.
// One goroutine at a time may accept.
func Patient(l net.Listener, log *slog.Logger) net.Listener {
	stop := make(chan struct{})
	return &closing{
		patient: patient{Listener: l, stop: stop, log: log, spare: spareDescriptors},
		end:     sync.OnceFunc(func() { close(stop) }),
	}
}

// closing is a patient whose waits Close ends.
type closing struct {
	patient
	end func()
}

func (c *closing) Close() error {
	c.end()
	return c.Listener.Close()
}

// patient waits where accepting would fail.
type patient struct {
	net.Listener
	stop <-chan struct{} // closed before the listener
	log  *slog.Logger
	// spare tells why no more connections are to be taken for now; nil when
	// they may.
	spare  func() error
	logged time.Time
}

// Accept waits for a connection, and for descriptors if need be.
func (p *patient) Accept() (net.Conn, error) {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := p.spare()
		if err == nil {
			var conn net.Conn
			if conn, err = p.Listener.Accept(); err == nil {
				return conn, nil
			}
			if isClosed(p.stop) || !passes(err) {
				return nil, err
			}
		}
		if now := time.Now(); now.Sub(p.logged) >= logEvery {
			p.logged = now
			p.log.Warn("cannot accept connections", slog.Any("error", err), slog.Duration("retry", wait))
		}
		select {
		case <-p.stop:
			return nil, net.ErrClosed
		case <-time.After(wait):
		}
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
