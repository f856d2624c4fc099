package server

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// wire is the connection below all layers, as those who write see it. Writes
// must not overlap; the output's lock or that of its TLS sees to it.
type wire struct {
	conn     net.Conn
	raw      syscall.RawConn       // nil when conn has no descriptor of its own
	try      func(fd uintptr) bool // tryOnce, bound once
	patience atomic.Int64          // how many ns a write may make no progress; 0 for ever

	// Of the one who writes.
	reckoned time.Duration // the patience at the last deadline
	expires  time.Time     // the deadline that is set on conn
	trying   []byte        // what tryOnce is to write
	tried    int           // how much of it was written
	failed   error         // of the last tryOnce
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

func (w *wire) setPatience(d time.Duration) { w.patience.Store(int64(d)) }

// Write writes all of b. A client that takes some bytes within each patience is
// slow but alive; one that takes none is cut off.
func (w *wire) Write(b []byte) (written int, err error) {
	for written < len(b) {
		w.renew()
		n, err := w.conn.Write(b[written:])
		written += n
		if err == nil {
			continue
		}
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
		w.expires = time.Time{}
	}
	return written, nil
}

// tryWrite writes as much as the connection takes at once. It is for a wire with
// a raw connection.
func (w *wire) tryWrite(b []byte) (written int, err error) {
	w.renew()
	w.trying, w.tried, w.failed = b, 0, nil
	if err = w.raw.Write(w.try); err == nil {
		err = w.failed
	}
	w.trying = nil
	return w.tried, err
}

// renew moves the write deadline on, unless it was moved a moment ago.
func (w *wire) renew() {
	patience := time.Duration(w.patience.Load())
	if patience != w.reckoned {
		w.reckoned, w.expires = patience, time.Time{}
		if patience == 0 {
			w.conn.SetWriteDeadline(time.Time{})
		}
	}
	if patience == 0 {
		return
	}
	if now := time.Now(); w.expires.Sub(now) < patience {
		w.expires = now.Add(patience + deadlineSlack(patience))
		w.conn.SetWriteDeadline(w.expires)
	}
}

// deadlineSlack is how much later than promised a deadline may be. It makes it
// unnecessary to move the deadline at every read and write.
func deadlineSlack(d time.Duration) time.Duration { return d / 16 }
