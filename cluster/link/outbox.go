package link

import (
	"net"
	"slices"
	"sync"
	"time"
)

// outbox is the frames that wait to be written to a connection, one behind another
// in one buffer: whoever sends copies them there, and the writer takes all at once.
type outbox struct {
	limit int // bytes that may wait, as a rule

	mu      sync.Mutex // guards what follows; nothing waits while it is held
	room    sync.Cond  // signalled when the writer has taken what was pending, and at the end
	pending []byte     // frames, not sealed
	spare   []byte     // the buffer that the writer is done with
	wake    chan struct{}
	closed  bool

	overhead int // of a frame
}

func newOutbox(limit, overhead int) *outbox {
	o := &outbox{limit: limit, overhead: overhead, wake: make(chan struct{}, 1)}
	o.room.L = &o.mu
	return o
}

// put adds a frame, and says whether there was room in limit bytes. A frame that is
// longer is taken when nothing else waits.
func (o *outbox) put(limit int, kind byte, body ...[]byte) bool {
	size := o.size(body)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || !o.fits(limit, size) {
		return false
	}
	o.add(kind, body)
	return true
}

// push is put that waits for room; false: the connection has ended.
func (o *outbox) push(limit int, kind byte, body ...[]byte) bool {
	size := o.size(body)
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && !o.fits(limit, size) {
		o.room.Wait()
	}
	if o.closed {
		return false
	}
	o.add(kind, body)
	return true
}

func (o *outbox) size(body [][]byte) int {
	size := lengthBytes + kindBytes + o.overhead
	for _, part := range body {
		size += len(part)
	}
	return size
}

func (o *outbox) fits(limit, size int) bool {
	return len(o.pending) == 0 || size <= limit-len(o.pending)
}

// add adds a frame. mu is held.
func (o *outbox) add(kind byte, body [][]byte) {
	if len(o.pending) == 0 {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	o.pending = appendFrame(slices.Grow(o.pending, o.size(body)), kind, o.overhead, body...)
}

// take returns all that waits. done is what take returned before.
func (o *outbox) take(done []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if cap(done) <= keptBuffer {
		o.spare = done[:0]
	}
	taken := o.pending
	o.pending, o.spare = o.spare, nil
	o.room.Broadcast()
	return taken
}

// keptBuffer is the longest buffer that is used again: it has room for the largest
// group of messages that is agreed on at once, with what is around it.
const keptBuffer = 1<<20 + 256<<10

func (o *outbox) close() {
	o.mu.Lock()
	o.closed, o.pending, o.spare = true, nil, nil
	o.room.Broadcast()
	o.mu.Unlock()
}

// lane is one connection of a session.
type lane struct {
	*conn
	out  *outbox
	kind Lane
}

// writeAll writes what is put in the outbox, and a ping at every interval, until the
// connection fails or done is closed.
func (l *lane) writeAll(done <-chan struct{}, interval time.Duration, ping func()) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var buf []byte
	for {
		select {
		case <-done:
			return nil
		case <-ticker.C:
			ping()
			continue
		case <-l.out.wake:
		}
		buf = l.out.take(buf)
		sealAll(l.conn.out, buf)
		if _, err := l.Conn.Write(buf); err != nil {
			return err
		}
	}
}

// patientConn gives the other side a time for each read.
type patientConn struct {
	net.Conn
	timeout time.Duration
	set     time.Time // when the deadline was moved last
}

// Read moves the deadline before it waits, though not at every read: that costs more
// than the read of what is there.
func (p *patientConn) Read(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.set) > p.timeout/8 {
		if err := p.SetReadDeadline(now.Add(p.timeout)); err != nil {
			return 0, err
		}
		p.set = now
	}
	return p.Conn.Read(b)
}
