package server

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"qmq/protocol"
)

// output is the writing side of a connection. The reader's answers, the
// delivered messages and the heartbeats meet here; each write is of whole
// frames.
type output struct {
	wire wire

	mu     sync.Mutex // held while writing; guards what follows
	layer  io.Writer  // TLS or compression, which end in wire; nil without
	failed error      // of an earlier write, after which nothing may follow
	silent bool       // no heartbeats just now: an IDENTIFY is being answered
	buf    [64]byte   // scratch for heartbeats
}

// write sends whole frames. An error means that the connection is of no use
// any more.
func (o *output) write(frames []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writeLocked(frames)
}

// heartbeat sends a heartbeat unless it would come between an IDENTIFY and its
// answer.
func (o *output) heartbeat() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		return nil
	}
	return o.writeLocked(append(o.buf[:0], protocol.HeartbeatFrame...))
}

// silence stops heartbeats until the next call of speak.
func (o *output) silence() {
	o.mu.Lock()
	o.silent = true
	o.mu.Unlock()
}

// speak sends the last frame of an IDENTIFY's answer, changes the patience for
// all later writes and allows heartbeats again.
func (o *output) speak(frame []byte, patience time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.writeLocked(frame)
	o.silent = false
	o.wire.setPatience(patience)
	return err
}

// through sends all that follows through another layer.
func (o *output) through(layer io.Writer) {
	o.mu.Lock()
	o.layer = layer
	o.mu.Unlock()
}

// below is where a new layer writes to.
func (o *output) below() io.Writer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.layer != nil {
		return o.layer
	}
	return &o.wire
}

// writeLocked writes all of b. After a failure a frame may have been cut
// short, so all later writes fail too.
func (o *output) writeLocked(b []byte) (err error) {
	if o.failed != nil {
		return o.failed
	}
	if o.layer != nil {
		_, err = o.layer.Write(b)
	} else {
		_, err = o.wire.Write(b)
	}
	o.failed = err
	return err
}

// wire is the connection below all layers, as those who write see it. Writes
// must not overlap; the output's lock or that of its TLS sees to it.
type wire struct {
	conn     net.Conn
	patience atomic.Int64 // how many ns a write may make no progress; 0 for ever

	// Of the one who writes.
	reckoned time.Duration // the patience at the last deadline
	expires  time.Time     // the deadline that is set on conn
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
