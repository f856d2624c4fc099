package stream

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// wire is the socket below all layers, as those who write see it. Writes must not
// overlap; the output's lock or that of its TLS sees to it.
type wire struct {
	conn    net.Conn
	raw     syscall.RawConn       // nil when conn has no descriptor of its own
	try     func(fd uintptr) bool // tryOnce, bound once
	timeout atomic.Int64          // how many ns a write may make no progress; 0: no bound

	// Of the one who writes.
	deadlineFor time.Duration // the timeout when the deadline was set
	deadline    time.Time     // that is set on conn
	trying      []byte        // what tryOnce is to write
	tried       int           // how much of it was written
	failed      error         // of the last tryOnce
}

func (w *wire) init(conn net.Conn) {
	w.conn = conn
	if !rawIO {
		return
	}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw, w.try = raw, w.tryOnce
		}
	}
}

// Write writes all of b. A client that takes some bytes within each timeout is
// slow but alive; one that takes none is cut off.
func (w *wire) Write(b []byte) (written int, err error) {
	for written < len(b) {
		w.renewDeadline()
		n, err := w.conn.Write(b[written:])
		written += n
		if err == nil {
			continue
		}
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
		w.deadline = time.Time{}
	}
	return written, nil
}

// tryWrite writes as much as the socket takes at once. It is for a wire with a raw
// connection.
func (w *wire) tryWrite(b []byte) (written int, err error) {
	w.renewDeadline()
	w.trying, w.tried, w.failed = b, 0, nil
	if err = w.raw.Write(w.try); err == nil {
		err = w.failed
	}
	w.trying = nil
	return w.tried, err
}

// renewDeadline moves the write deadline on, unless it was moved a moment ago.
func (w *wire) renewDeadline() {
	timeout := time.Duration(w.timeout.Load())
	if timeout != w.deadlineFor {
		w.deadlineFor, w.deadline = timeout, time.Time{}
		if timeout == 0 {
			w.conn.SetWriteDeadline(time.Time{})
		}
	}
	if timeout == 0 {
		return
	}
	if now := time.Now(); w.deadline.Sub(now) < timeout {
		w.deadline = now.Add(timeout + DeadlineSlack(timeout))
		w.conn.SetWriteDeadline(w.deadline)
	}
}

// DeadlineSlack is how much later than promised a deadline may be. It makes it
// unnecessary to move the deadline at every read and write.
func DeadlineSlack(d time.Duration) time.Duration { return d / 16 }
