package server

import (
	"crypto/tls"
	"net"
	"time"
)

// tlsTerms are what /stats shows of a session's TLS.
type tlsTerms struct {
	version, cipherSuite, protocol string
	mutual                         bool
}

// tlsEnd is the connection as TLS sees it: it reads what the session's input
// has read and writes with the session's patience.
type tlsEnd struct {
	net.Conn
	from feeder
	to   *wire
}

func (e *tlsEnd) Read(p []byte) (int, error)  { return e.from.Read(p) }
func (e *tlsEnd) Write(p []byte) (int, error) { return e.to.Write(p) }

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
	s.in.from = conn
	s.out.through(conn)
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

// commonName is the name in the client's certificate, empty without one.
func (s *session) commonName() string {
	if s.tls == nil {
		return ""
	}
	if certificates := s.tls.ConnectionState().PeerCertificates; len(certificates) > 0 {
		return certificates[0].Subject.CommonName
	}
	return ""
}
