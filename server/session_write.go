package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"qmq/protocol"
)

// output is the writing side of a connection. The reader's answers, the
// delivered messages and the heartbeats meet here; each write is of whole
// frames.
type output struct {
	conn net.Conn

	mu       sync.Mutex    // held while writing; guards what follows
	patience time.Duration // how long a write may make no progress; 0 for ever
	expires  time.Time     // the deadline that is set on conn
	failed   error         // of an earlier write, after which nothing may follow
	silent   bool          // no heartbeats just now: an IDENTIFY is being answered
	buf      [64]byte      // scratch for heartbeats
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

// speak sends the frames of an IDENTIFY's answer, changes the patience for all
// later writes and allows heartbeats again.
func (o *output) speak(frames []byte, patience time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.writeLocked(frames)
	o.silent, o.patience, o.expires = false, patience, time.Time{}
	if patience == 0 {
		o.conn.SetWriteDeadline(time.Time{})
	}
	return err
}

// writeLocked writes all of b. A client that takes some bytes within each
// patience is slow but alive; one that takes none is cut off. A frame may have
// been cut short then, so all later writes fail too.
func (o *output) writeLocked(b []byte) error {
	if o.failed != nil {
		return o.failed
	}
	for len(b) > 0 {
		o.renew()
		n, err := o.conn.Write(b)
		b = b[n:]
		if err == nil {
			continue
		}
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			o.failed = err
			return err
		}
		o.expires = time.Time{}
	}
	return nil
}

// renew moves the write deadline on, unless it was moved a moment ago.
func (o *output) renew() {
	if o.patience == 0 {
		return
	}
	now := time.Now()
	slack := deadlineSlack(o.patience)
	if o.expires.Sub(now) < o.patience {
		o.expires = now.Add(o.patience + slack)
		o.conn.SetWriteDeadline(o.expires)
	}
}

// deadlineSlack is how much later than promised a deadline may be. It makes it
// unnecessary to move the deadline at every read and write.
func deadlineSlack(d time.Duration) time.Duration { return d / 16 }
