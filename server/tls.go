package server

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// tlsTerms are what /stats shows of a session's TLS.
type tlsTerms struct {
	version, cipherSuite, protocol string
	mutual                         bool
}

// tlsEnd is the connection as TLS sees it: it reads what the session's input
// has read and writes with the session's patience. TLS may write while it reads,
// to change keys, at the same time as the session writes.
type tlsEnd struct {
	net.Conn
	from  feeder
	hasty bool // reads do not wait; of the reading goroutine

	mu      sync.Mutex // held while writing; guards what follows
	to      *wire
	records *gather // of a write under way; nil: each record is sent at once
}

// tlsPiece is how much of a long write goes to the connection at once.
const tlsPiece = 64 << 10

// Read waits for bytes only if it may.
func (e *tlsEnd) Read(p []byte) (int, error) {
	if e.hasty && e.from.empty() {
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
	e.records = &gather{to: e.to, room: takeBuffer(tlsPiece)}
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

// errNothingYet says that a hasty read would have to wait. TLS takes up again
// after an error that is temporary.
type errNothingYet struct{}

func (errNothingYet) Error() string   { return "nothing to read yet" }
func (errNothingYet) Timeout() bool   { return true }
func (errNothingYet) Temporary() bool { return true }

// tlsLayer is what the session reads and writes under TLS: many records at
// once, where TLS itself has a system call for each.
type tlsLayer struct {
	conn *tls.Conn
	end  *tlsEnd
	more bool // the last Read was cut short by its buffer
}

// ahead waits until something has come.
func (l *tlsLayer) ahead() error {
	if !l.more && l.end.from.empty() {
		return l.end.from.more()
	}
	return nil
}

// Read waits for a record and returns the data of all that have come.
func (l *tlsLayer) Read(p []byte) (n int, err error) {
	n, err = l.conn.Read(p)
	l.end.hasty = true
	for err == nil && n < len(p) {
		var got int
		got, err = l.conn.Read(p[n:])
		n += got
	}
	l.end.hasty = false
	l.more = n == len(p)
	if n > 0 {
		err = nil // it comes again, if it was more than haste
	}
	return n, err
}

// Write sends b; the output's lock is held.
func (l *tlsLayer) Write(b []byte) (int, error) {
	const record = 16 << 10 // the longest
	if len(b) <= record {
		return l.conn.Write(b)
	}
	l.end.gather()
	n, err := l.conn.Write(b)
	if failed := l.end.send(); err == nil {
		err = failed
	}
	return n, err
}

// useTLS makes the handshake and puts TLS between the session and its
// connection.
func (s *session) useTLS() error {
	limit := s.tcp.o.HandshakeTimeout
	s.out.wire.setPatience(limit)
	s.conn.SetReadDeadline(time.Now().Add(limit))
	if s.stopping.Load() {
		return errStopping
	}
	end := &tlsEnd{Conn: s.conn, from: feeder{in: s.in.insert()}, to: &s.out.wire}
	conn := tls.Server(end, s.tcp.o.TLS)
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	t := &tlsTerms{
		version:     tlsVersionName(state.Version),
		cipherSuite: tls.CipherSuiteName(state.CipherSuite),
		protocol:    state.NegotiatedProtocol,
		mutual:      true,
	}
	s.agree(func(terms *terms) { terms.tls = t })
	s.tls = conn
	s.parser.NeedsTLS = false
	l := &tlsLayer{conn: conn, end: end}
	s.in.from, s.in.ahead = l, l.ahead
	s.out.through(l)
	return nil
}

// tlsVersionName is a version in NSQ's words.
func tlsVersionName(version uint16) string {
	switch version {
	case tls.VersionTLS10:
		return "TLS1.0"
	case tls.VersionTLS11:
		return "TLS1.1"
	case tls.VersionTLS12:
		return "TLS1.2"
	case tls.VersionTLS13:
		return "TLS1.3"
	}
	return tls.VersionName(version)
}

// commonName is the name in the client's certificate, empty without one, or if
// it has to be verified and was not.
func (s *session) commonName() string {
	if s.tls == nil {
		return ""
	}
	state := s.tls.ConnectionState()
	if len(state.PeerCertificates) == 0 || s.tcp.o.AuthVerifiedNames && len(state.VerifiedChains) == 0 {
		return ""
	}
	return state.PeerCertificates[0].Subject.CommonName
}
