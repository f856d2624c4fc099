package daemon

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"qmq/config"
	"qmq/internal/apiclient"
	"qmq/internal/auth"
	"qmq/internal/certs"
	"qmq/internal/version"
	"qmq/server"
)

// security is what decides who is let in. Its files are read again with SIGHUP,
// and when somebody comes after they have changed.
type security struct {
	log      *slog.Logger
	certs    *certs.Server    // nil without certificate
	auth     *auth.Client     // nil without auth servers
	httpAuth *server.HTTPAuth // nil when the API is open

	hangups chan os.Signal
	done    chan struct{} // closed when nobody waits for hangups any more
}

// openSecurity reads the files, and from then on follows them until close.
func openSecurity(q *config.QD, log *slog.Logger) (_ *security, err error) {
	s := &security{log: log, hangups: make(chan os.Signal, 1), done: make(chan struct{})}
	if q.TLSCert != "" {
		if s.certs, err = certs.Open(certsOptions(q, log)); err != nil {
			return nil, fmt.Errorf("failed to build TLS config - %w", err)
		}
	}
	if len(q.AuthHTTPAddresses) > 0 {
		o, err := authOptions(q, log)
		if err != nil {
			return nil, fmt.Errorf("failed to build TLS config - %w", err)
		}
		s.auth = auth.New(o)
	}
	if q.HTTPAuth != "" {
		if s.httpAuth, err = server.OpenHTTPAuth(q.HTTPAuth, log); err != nil {
			return nil, fmt.Errorf("failed to read --http-auth - %w", err)
		}
	}
	signal.Notify(s.hangups, syscall.SIGHUP)
	go s.follow()
	return s, nil
}

// follow reads the files again with each SIGHUP.
func (s *security) follow() {
	defer close(s.done)
	for range s.hangups {
		s.log.Info("reading certificates and credentials again")
		if s.certs != nil {
			s.report("certificate", s.certs.Reload())
		}
		if s.httpAuth != nil {
			s.report("HTTP credentials", s.httpAuth.Reload())
		}
	}
}

func (s *security) report(what string, err error) {
	if err != nil {
		s.log.Warn(what+" not changed", slog.Any("error", err))
	}
}

func (s *security) close() {
	signal.Stop(s.hangups)
	close(s.hangups)
	<-s.done
	if s.auth != nil {
		s.auth.Close()
	}
}

// apply gives the sessions and the API what they need of it.
func (s *security) apply(q *config.QD, o *server.Options) {
	if s.certs != nil {
		o.TLS = s.certs.Config()
	}
	o.TLSRequired = q.TLSRequired != config.TLSNotRequired
	o.HTTPSRequired = q.TLSRequired == config.TLSRequiredAlways
	o.Auth = s.auth
	o.HTTPAuth = s.httpAuth
}

func certsOptions(q *config.QD, log *slog.Logger) certs.Options {
	o := certs.Options{
		CertFile:   q.TLSCert,
		KeyFile:    q.TLSKey,
		RootFile:   q.TLSRootCAFile,
		MinVersion: uint16(q.TLSMinVersion),
		Logger:     log,
	}
	switch q.TLSClientAuthPolicy {
	case "require":
		o.ClientAuth = tls.RequireAnyClientCert
	case "require-verify":
		o.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return o
}

// askAtOnce is how many connections each auth server gets at most. After a
// restart all clients come at once, and each waits within its own time limit.
const askAtOnce = 64

func authOptions(q *config.QD, log *slog.Logger) (auth.Options, error) {
	roots, err := certs.Roots(q.TLSRootCAFile)
	return auth.Options{
		Addresses: q.AuthHTTPAddresses,
		Post:      q.AuthHTTPRequestMethod == "post",
		HTTP: apiclient.Options{
			ConnectTimeout: q.HTTPClientConnectTimeout,
			RequestTimeout: q.HTTPClientRequestTimeout,
			TLS:            &tls.Config{RootCAs: roots, MinVersion: uint16(q.TLSMinVersion)},
			UserAgent:      "qd/" + version.Number,
			MaxConnections: askAtOnce,
		},
		Logger: log,
	}, err
}
