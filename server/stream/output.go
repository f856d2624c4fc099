package stream

import (
	"io"
	"sync"
	"time"
)

// Output is the writing side of a connection. Answers, delivered messages and
// heartbeats meet here; each write is of whole frames. Its methods may be
// called concurrently, unless they say otherwise.
type Output struct {
	wire wire

	// mu is held while anything is written, and so while the client does not read;
	// it guards what follows.
	mu sync.Mutex
	// layer is TLS or compression, which end in wire; nil without. Only the
	// goroutine that reads the connection changes it, and so it may read it
	// without the lock.
	layer  io.Writer
	failed error    // of an earlier write, after which nothing may follow
	muted  bool     // no heartbeats just now
	buf    [64]byte // scratch for heartbeats
	unsent []byte   // of the last TryWrite; goes before all else
}

// Write sends whole frames. An error means that the connection is of no use
// any more.
func (o *Output) Write(frames []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writeLocked(frames)
}

// SetTimeout is how long the client may take nothing of a write, from the next
// write on; 0: for ever.
func (o *Output) SetTimeout(d time.Duration) { o.wire.timeout.Store(int64(d)) }

// CanTry says whether TryWrite may be called. Only the goroutine that starts
// layers may ask.
func (o *Output) CanTry() bool { return o.layer == nil && o.wire.raw != nil }

// TryLock keeps others from writing until Unlock. It returns false when somebody
// writes, and perhaps waits for the client.
func (o *Output) TryLock() bool { return o.mu.TryLock() }

// Unlock ends what TryLock began.
func (o *Output) Unlock() { o.mu.Unlock() }

// TryWrite sends as much of whole frames as can be sent without waiting for the
// client, between TryLock and Unlock. What is left is sent by the next call of
// Write or Flush, which must follow soon; all says that nothing is.
func (o *Output) TryWrite(frames []byte) (all bool, err error) {
	if o.failed != nil {
		return false, o.failed
	}
	n := 0
	if len(o.unsent) == 0 {
		n, o.failed = o.wire.tryWrite(frames)
	}
	o.unsent = append(o.unsent, frames[n:]...)
	return len(o.unsent) == 0, o.failed
}

// Flush sends what a TryWrite left.
func (o *Output) Flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writeLocked(nil)
}

// Heartbeat sends a frame of at most 64 bytes, unless heartbeats are muted.
func (o *Output) Heartbeat(frame string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.muted {
		return nil
	}
	return o.writeLocked(append(o.buf[:0], frame...))
}

// MuteHeartbeats stops heartbeats until the next WriteAndUnmute: they would come
// between a command and its answer.
func (o *Output) MuteHeartbeats() {
	o.mu.Lock()
	o.muted = true
	o.mu.Unlock()
}

// WriteAndUnmute sends the last frame of the answer for which heartbeats were
// muted, changes the timeout for all later writes and allows heartbeats again.
func (o *Output) WriteAndUnmute(frame []byte, timeout time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.writeLocked(frame)
	o.muted = false
	o.SetTimeout(timeout)
	return err
}

// writeThrough sends all that follows through another layer.
func (o *Output) writeThrough(layer io.Writer) {
	o.mu.Lock()
	o.layer = layer
	o.mu.Unlock()
}

// below is where a new layer writes to. Only the goroutine that starts layers
// may ask.
func (o *Output) below() io.Writer {
	if o.layer != nil {
		return o.layer
	}
	return &o.wire
}

// writeLocked writes all of b. After a failure a frame may have been cut
// short, so all later writes fail too.
func (o *Output) writeLocked(b []byte) (err error) {
	if o.failed != nil {
		return o.failed
	}
	if len(o.unsent) > 0 {
		if _, o.failed = o.wire.Write(o.unsent); o.failed != nil {
			return o.failed
		}
		o.unsent = nil
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
