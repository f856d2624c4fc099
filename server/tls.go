package server

import (
	"crypto/tls"
	"time"

	"qmq/server/stream"
)

// useTLS makes the handshake and puts TLS between the session and its
// connection.
func (s *session) useTLS() error {
	limit := s.tcp.o.HandshakeTimeout
	s.conn.Out.SetTimeout(limit)
	s.conn.SetReadDeadline(time.Now().Add(limit))
	if s.stopping.Load() {
		return stream.ErrStopping
	}
	if err := s.conn.StartTLS(s.tcp.o.TLS); err != nil {
		return err
	}
	state, _ := s.conn.TLS()
	t := &TLS{
		Version:     tlsVersionName(state.Version),
		CipherSuite: tls.CipherSuiteName(state.CipherSuite),
		Protocol:    state.NegotiatedProtocol,
		Mutual:      true,
	}
	s.agree(func(terms *terms) { terms.tls = t })
	s.parser.NeedsTLS = false
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
	state, _ := s.conn.TLS()
	if len(state.PeerCertificates) == 0 || s.tcp.o.AuthVerifiedNames && len(state.VerifiedChains) == 0 {
		return ""
	}
	return state.PeerCertificates[0].Subject.CommonName
}
