package link

import (
	"net"
	"sync"
	"time"
)

// outbox is the frames that wait to be written to a connection, one behind another
// in buffers: whoever sends copies them there, and the writer takes all at once.
type outbox struct {
	limit int // bytes that may wait, as a rule

	mu      sync.Mutex // guards what follows; nothing waits while it is held
	room    sync.Cond  // signalled when the writer has taken what was pending, and at the end
	pending [][]byte   // frames, not sealed
	bytes   int        // of them
	long    [][]byte   // long buffers that the writer is done with
	short   []byte     // a short one
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
	return o.bytes == 0 || size <= limit-o.bytes
}

// add adds a frame. mu is held.
func (o *outbox) add(kind byte, body [][]byte) {
	if len(o.pending) == 0 {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	size := o.size(body)
	last := len(o.pending) - 1
	if last < 0 || cap(o.pending[last])-len(o.pending[last]) < size {
		o.pending, last = append(o.pending, o.buffer(size)), last+1
	}
	o.pending[last] = appendFrame(o.pending[last], kind, o.overhead, body...)
	o.bytes += size
}

const (
	// shortBuffer is how long a buffer is where all frames are short.
	shortBuffer = 4 << 10
	// longBuffer is how long one is where they are not. It has room for the largest group of
	// messages that is agreed on at once, with what is around it: longer ones are not used
	// again.
	longBuffer = 1<<20 + 256<<10
	// maxLong is how many are kept: one to be filled while another one is written.
	maxLong = 2
)

// buffer is an empty one for a frame of size bytes, and others. mu is held.
func (o *outbox) buffer(size int) (b []byte) {
	n := len(o.long)
	switch {
	case size > longBuffer:
		return unzeroed(size)[:0]
	case n > 0:
		b, o.long = o.long[n-1], o.long[:n-1]
	case size > shortBuffer:
		b = unzeroed(longBuffer)[:0]
	case o.short != nil:
		b, o.short = o.short, nil
	default:
		b = make([]byte, 0, shortBuffer)
	}
	return b
}

// take returns all that waits, in place of what it returned before.
func (o *outbox) take(before [][]byte) [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := o.pending
	o.pending, o.bytes = before[:0], 0
	o.room.Broadcast()
	return taken
}

// giveBack takes the buffers that take has returned, once they are written: the memory that
// was used last is the next to be used, for it is in the processor's caches.
func (o *outbox) giveBack(buffers [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range buffers {
		switch {
		case o.closed:
		case cap(b) == shortBuffer:
			o.short = b[:0]
		case cap(b) == longBuffer && len(o.long) < maxLong:
			o.long = append(o.long, b[:0])
		}
	}
	clear(buffers)
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed, o.pending, o.bytes, o.long, o.short = true, nil, 0, nil, nil
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
	var taken [][]byte
	for {
		select {
		case <-done:
			return nil
		case <-ticker.C:
			ping()
			continue
		case <-l.out.wake:
		}
		taken = l.out.take(taken)
		for _, frames := range taken {
			sealAll(l.conn.out, frames)
			if _, err := l.Conn.Write(frames); err != nil {
				return err
			}
		}
		l.out.giveBack(taken)
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
