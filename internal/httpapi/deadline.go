package httpapi

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// lazyListener gives its connections lazy deadlines, but for those of TLS, which
// the HTTP server has to know as such.
type lazyListener struct{ net.Listener }

func (l lazyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if _, ok := conn.(*tls.Conn); ok {
		return conn, nil
	}
	return newLazyConn(conn), nil
}

// lazyConn is a connection whose deadlines cost next to nothing where they are
// moved on and on. The HTTP server and the pace move them eight times a request,
// nearly always to later, and each time the runtime's timer would be changed: here
// it stays where it is, and is set anew when it fires too early.
// BenchmarkRequest tells what that is worth.
type lazyConn struct {
	net.Conn
	read, write lazyDeadline
}

func newLazyConn(conn net.Conn) *lazyConn {
	c := &lazyConn{Conn: conn}
	c.read.apply, c.write.apply = conn.SetReadDeadline, conn.SetWriteDeadline
	return c
}

// lazyDeadline is a deadline as it is wanted, and as the connection has it.
type lazyDeadline struct {
	apply func(time.Time) error // sets it; called with mu held

	mu     sync.Mutex // guards what follows
	wanted time.Time  // zero: none
	set    time.Time  // never later than wanted; zero: none
	past   bool       // set was over when it was set: it interrupts
}

// move has the deadline at to.
func (d *lazyDeadline) move(to time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = to
	switch early := !d.set.IsZero() && (to.IsZero() || d.set.Before(to)); {
	case d.set.Equal(to):
		return nil
	case early && (!d.past || to.IsZero()): // after an interrupt the next deadline is set at once: to fail costs more
		return nil
	}
	d.set, d.past = to, !to.IsZero() && to.Before(time.Now())
	return d.apply(to)
}

// tooEarly says that err is of a deadline that is not wanted: another, which is, has
// taken its place.
func (d *lazyDeadline) tooEarly(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
		return false
	}
	d.set, d.past = d.wanted, false
	return d.apply(d.set) == nil
}

func (c *lazyConn) SetReadDeadline(to time.Time) error {
	return c.read.move(to)
}
func (c *lazyConn) SetWriteDeadline(to time.Time) error {
	return c.write.move(to)
}

func (c *lazyConn) SetDeadline(to time.Time) error {
	return errors.Join(c.SetReadDeadline(to), c.SetWriteDeadline(to))
}

func (c *lazyConn) Read(b []byte) (n int, err error) {
	for {
		n, err = c.Conn.Read(b)
		if err == nil || n > 0 || !c.read.tooEarly(err) {
			return n, err
		}
	}
}

func (c *lazyConn) Write(b []byte) (written int, err error) {
	for {
		n, err := c.Conn.Write(b[written:])
		written += n
		if err == nil || !c.write.tooEarly(err) {
			return written, err
		}
	}
}
