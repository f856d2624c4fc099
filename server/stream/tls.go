package stream

import (
	"crypto/tls"
	"net"
	"sync"
)

// StartTLS makes the server's side of a handshake and puts TLS between the two
// directions and the socket. What came and was not consumed is the handshake's.
// The read deadline and the output's timeout bound it.
func (c *Conn) StartTLS(config *tls.Config) error {
	end := &tlsEnd{Conn: c.conn, from: layerReader{in: c.In.insert()}, to: &c.Out.wire}
	conn := tls.Server(end, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.tls = conn
	l := &tlsLayer{conn: conn, end: end}
	c.In.readThrough(l)
	c.Out.writeThrough(l)
	return nil
}

// tlsEnd is the connection as TLS sees it: it reads what the input below has
// read and writes with the output's timeout. TLS may write while it reads, to
// change keys, at the same time as the output's writer does.
type tlsEnd struct {
	net.Conn
	from        layerReader
	nonblocking bool // reads do not wait; of the goroutine that reads

	mu      sync.Mutex // held while writing; guards the use of to, and what follows
	to      *wire
	records *gatherer // of a write under way; nil: each record is sent at once
}

// tlsPiece is how much of a long write goes to the socket at once.
const tlsPiece = 64 << 10

// Read waits for bytes only if it may.
func (e *tlsEnd) Read(p []byte) (int, error) {
	if e.nonblocking && e.from.buffered() == 0 {
		return 0, errNothingYet{}
	}
	return e.from.Read(p)
}

// Write sends a record, or keeps it until its piece is full.
func (e *tlsEnd) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.records == nil {
		return e.to.Write(p)
	}
	return e.records.Write(p)
}

// gather keeps what is written until send.
func (e *tlsEnd) gather() {
	e.mu.Lock()
	e.records = &gatherer{to: e.to, space: TakeBuffer(tlsPiece)}
	e.mu.Unlock()
}

// send sends what was kept.
func (e *tlsEnd) send() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept := e.records
	e.records = nil
	defer kept.release()
	return kept.flush()
}

// errNothingYet says that a nonblocking read would have to wait. TLS takes up
// again after an error that is temporary.
type errNothingYet struct{}

func (errNothingYet) Error() string   { return "nothing to read yet" }
func (errNothingYet) Timeout() bool   { return true }
func (errNothingYet) Temporary() bool { return true }

// tlsLayer is read and written through under TLS: many records at once, where
// TLS itself has a system call for each.
type tlsLayer struct {
	conn *tls.Conn
	end  *tlsEnd
	more bool // the last Read was cut short by its buffer
}

func (l *tlsLayer) wait() error {
	if !l.more && l.end.from.buffered() == 0 {
		return l.end.from.more()
	}
	return nil
}

// Read waits for a record and returns the data of all that have come.
func (l *tlsLayer) Read(p []byte) (n int, err error) {
	n, err = l.conn.Read(p)
	l.end.nonblocking = true
	for err == nil && n < len(p) {
		var got int
		got, err = l.conn.Read(p[n:])
		n += got
	}
	l.end.nonblocking = false
	l.more = n == len(p)
	if n > 0 {
		err = nil // it comes again, unless it only said that there is nothing yet
	}
	return n, err
}

// Write sends b; the output's lock is held.
func (l *tlsLayer) Write(b []byte) (int, error) {
	const maxRecord = 16 << 10
	if len(b) <= maxRecord {
		return l.conn.Write(b)
	}
	l.end.gather()
	n, err := l.conn.Write(b)
	if failed := l.end.send(); err == nil {
		err = failed
	}
	return n, err
}
