package server

import (
	"io"
	"sync"
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
	left   []byte     // of the last tryWrite; goes before all else
}

// write sends whole frames. An error means that the connection is of no use
// any more.
func (o *output) write(frames []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writeLocked(frames)
}

// canTry says whether tryWrite may be called. Only the goroutine that adds
// layers may ask.
func (o *output) canTry() bool { return o.layer == nil && o.wire.raw != nil }

// tryWrite sends as much of whole frames as can be sent without waiting for the
// client. What is left is sent by the next call of write or flush, which must
// follow soon; all says that nothing is. The caller holds mu.
func (o *output) tryWrite(frames []byte) (all bool, err error) {
	if o.failed != nil {
		return false, o.failed
	}
	n := 0
	if len(o.left) == 0 {
		n, o.failed = o.wire.tryWrite(frames)
	}
	o.left = append(o.left, frames[n:]...)
	return len(o.left) == 0, o.failed
}

// flush sends what a tryWrite left.
func (o *output) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writeLocked(nil)
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
	if len(o.left) > 0 {
		if _, o.failed = o.wire.Write(o.left); o.failed != nil {
			return o.failed
		}
		o.left = nil
	}
	if len(b) == 0 {
		return nil // a layer would send something that unpacks to nothing, and clients take that for the end
	}
	if o.layer != nil {
		_, err = o.layer.Write(b)
	} else {
		_, err = o.wire.Write(b)
	}
	o.failed = err
	return err
}
