package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"

	"qmq/broker"
	"qmq/config"
	"qmq/internal/version"
	"qmq/lookup"
)

// newAnnouncer makes what tells lookup directories what a node has, and the
// client with which it asks them, and other nodes. Roots are for the certificates
// of those that want TLS; nil: the system's.
func newAnnouncer(q *config.QD, roots *x509.CertPool, secret *secret, log *slog.Logger) (*lookup.Announcer, *lookup.Client) {
	client := lookup.NewClient(lookup.ClientOptions{
		TLS:            &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ConnectTimeout: q.HTTPClientConnectTimeout,
		RequestTimeout: q.HTTPClientRequestTimeout,
		UserAgent:      "qd/" + version.Number,
	})
	return lookup.NewAnnouncer(lookup.AnnouncerOptions{Client: client, RegistrationSecret: secret.now, Views: q.Views(), Logger: log}), client
}

// identity is how a node introduces itself, once it is known where it listens.
func identity(q *config.QD) lookup.Identity {
	return lookup.Identity{
		Hostname:         q.Hostname,
		BroadcastAddress: q.BroadcastAddress,
		TCPPort:          q.BroadcastTCPPort,
		HTTPPort:         q.BroadcastHTTPPort,
		Version:          version.Number,
		TopologyZone:     q.TopologyZone,
		TopologyRegion:   q.TopologyRegion,
	}
}

// takingOf is which publishes a node takes, as directories are told.
func takingOf(b *broker.Broker) func() lookup.Taking {
	takes := [...]lookup.Takes{broker.TakesAll: lookup.TakesAll, broker.TakesSome: lookup.TakesSome, broker.TakesNone: lookup.TakesNone}
	return func() lookup.Taking {
		t, why := b.Taking()
		return lookup.Taking{Takes: takes[t], Why: why}
	}
}
