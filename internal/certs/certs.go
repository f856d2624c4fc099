// Package certs makes TLS configurations of servers from files, and follows
// the files when they change. Connections that are there already are not
// touched. It has no goroutine: it looks when a client comes. It verifies nothing of
// the server's own certificate: an expired or self-signed one is served.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"qmq/internal/filereload"
)

// Options say what to serve.
type Options struct {
	CertFile, KeyFile string // PEM
	// RootFile has the roots for certificates of clients (PEM); empty: the
	// system's.
	RootFile string
	// ClientAuth says whether clients need a certificate.
	ClientAuth tls.ClientAuthType
	MinVersion uint16 // of TLS

	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Server is the TLS of a server. Its methods may be called concurrently.
type Server struct {
	o     Options
	files *filereload.Value[tls.Config]
}

// Open reads the files. The error says which one is wrong.
func Open(o Options) (*Server, error) {
	s := &Server{o: o}
	var err error
	s.files, err = filereload.Open(filereload.Options[tls.Config]{
		What:   "certificate",
		Names:  []string{o.CertFile, o.KeyFile, o.RootFile},
		Read:   s.read,
		Logger: o.Logger,
		Now:    o.Now,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Config is a configuration that always serves the newest good files.
func (s *Server) Config() *tls.Config {
	return &tls.Config{
		MinVersion:             s.o.MinVersion,
		SessionTicketsDisabled: s.identifiesClients(),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.files.Now(), nil
		},
	}
}

// ClientConfig is for a connection to a server of that name, to which this one shows
// its certificate and whose own has to chain to the same roots as clients'. It holds
// what the newest good files say.
func (s *Server) ClientConfig(serverName string) *tls.Config {
	now := s.files.Now()
	return &tls.Config{Certificates: now.Certificates, RootCAs: now.ClientCAs, ServerName: serverName, MinVersion: s.o.MinVersion}
}

// Reload reads the files now. If they are no good, what was served before is
// served on.
func (s *Server) Reload() error { return s.files.Reload() }

// read is the configuration with what the files hold now.
func (s *Server) read(*tls.Config) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.o.CertFile, s.o.KeyFile)
	if err != nil {
		return nil, err
	}
	roots, err := Roots(s.o.RootFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{pair},
		ClientCAs:              roots,
		ClientAuth:             s.o.ClientAuth,
		MinVersion:             s.o.MinVersion,
		SessionTicketsDisabled: s.identifiesClients(),
	}, nil
}

// identifiesClients tells whether clients show certificates. Then they do at
// each connection, and a root that is taken away is of no use from then on.
func (s *Server) identifiesClients() bool { return s.o.ClientAuth != tls.NoClientCert }

// Roots reads root certificates (PEM); without a file they are the system's,
// which is nil.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %w", file, errNoCertificate)
	}
	return roots, nil
}

var errNoCertificate = errors.New("there is no certificate in it")
