package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"

	"qmq/api"
	"qmq/config"
	"qmq/internal/apiclient"
	"qmq/internal/auth"
	"qmq/internal/certs"
	"qmq/internal/httpauth"
	"qmq/internal/version"
	"qmq/server"
)

// security is what decides who is let in. Its files are read again with SIGHUP,
// and when somebody comes after they have changed.
type security struct {
	certs    *certs.Server         // nil without certificate
	auth     *auth.Client          // nil without auth servers
	httpAuth *httpauth.Credentials // nil when the API is open

	roots  *x509.CertPool // of other daemons; nil: the system's
	secret *secret        // that directories may want; nil: none

	// Of the members of a set; nil: none.
	clusterSecret *secret
	clusterCerts  *certs.Server

	hangups *hangups
}

// openSecurity reads the files, and from then on follows them until close.
func openSecurity(q *config.QD, log *slog.Logger) (_ *security, err error) {
	s := new(security)
	if s.roots, err = certs.Roots(q.TLSRootCAFile); err != nil {
		return nil, fmt.Errorf("failed to build TLS config - %w", err)
	}
	var files []reload
	if q.TLSCert != "" {
		if s.certs, err = certs.Open(certsOptions(q, log)); err != nil {
			return nil, fmt.Errorf("failed to build TLS config - %w", err)
		}
		files = append(files, reload{"certificate", s.certs.Reload})
		warnReadable("tls-key", q.TLSKey, log)
	}
	if len(q.AuthHTTPAddresses) > 0 {
		s.auth = auth.New(authOptions(q, s.roots, log))
	}
	if q.HTTPAuth != "" {
		if s.httpAuth, err = httpauth.Open(q.HTTPAuth, log); err != nil {
			return nil, fmt.Errorf("failed to read --http-auth - %w", err)
		}
		files = append(files, reload{"HTTP credentials", s.httpAuth.Reload})
		warnReadable("http-auth", q.HTTPAuth, log)
	}
	if s.secret, err = openSecret("registration-secret-file", q.RegistrationSecretFile, oneWord, log); err != nil {
		return nil, err
	}
	if err = s.openClusterAccess(q, log); err != nil {
		return nil, err
	}
	if s.clusterCerts != nil {
		files = append(files, reload{"certificate of the cluster", s.clusterCerts.Reload})
	}
	files = append(files, s.clusterSecret.reloads()...)
	s.hangups = followHangups(log, append(files, s.secret.reloads()...)...)
	return s, nil
}

func (s *security) close() {
	s.hangups.close()
	if s.auth != nil {
		s.auth.Close()
	}
}

// guardSessions gives the sessions what they need of it.
func (s *security) guardSessions(q *config.QD, o *server.Options) {
	if s.certs != nil {
		o.TLS = s.certs.Config()
	}
	o.TLSRequired = q.TLSRequired != config.TLSNotRequired
	o.Auth, o.AuthVerifiedNames = s.auth, q.AuthVerifiedNames
}

// guardAPI gives the API what it needs of it.
func (s *security) guardAPI(q *config.QD, o *api.Options) {
	o.HTTPSRequired = q.TLSRequired == config.TLSRequiredAlways
	o.Auth = s.httpAuth
	if sessionsGuarded(q) && s.httpAuth == nil {
		o.ConsumeRefused = "clients over TCP are asked who they are (--auth-http-address, --tls-client-auth-policy), and those over HTTP are not: --http-auth says who may consume"
	}
}

// openTLS reads the certificate of a daemon that serves HTTP alone; nil without
// one.
func openTLS(t config.ServerTLS, log *slog.Logger) (*certs.Server, error) {
	if t.TLSCert == "" {
		return nil, nil
	}
	s, err := certs.Open(certs.Options{CertFile: t.TLSCert, KeyFile: t.TLSKey, MinVersion: tls.VersionTLS12, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("failed to build TLS config - %w", err)
	}
	warnReadable("tls-key", t.TLSKey, log)
	return s, nil
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

func authOptions(q *config.QD, roots *x509.CertPool, log *slog.Logger) auth.Options {
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
	}
}
