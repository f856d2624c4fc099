package daemon

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"qmq/internal/certs"
)

// closeHTTP is how long HTTP requests under way may take at the end.
const closeHTTP = 2 * time.Second

// listeners are those of a daemon at work.
type listeners struct {
	log       *slog.Logger
	failed    chan error
	listening map[string]string
}

func newListeners(log *slog.Logger) listeners {
	const maxListeners = 4 // listeners, each of which may fail once
	return listeners{log: log, failed: make(chan error, maxListeners), listening: make(map[string]string)}
}

// Failed is part of Daemon.
func (l listeners) Failed() <-chan error { return l.failed }

// Addresses is part of Daemon.
func (l listeners) Addresses() map[string]string { return l.listening }

// serve runs a server on a socket until it is closed, after a log line that
// scripts wait for. The server's Close waits for what it does. Name is TCP, HTTP
// or HTTPS.
func (l listeners) serve(name string, on net.Listener, serve func(net.Listener) error) {
	l.listening[name] = on.Addr().String()
	l.log.Info(name + ": listening on " + on.Addr().String())
	go func() {
		if err := serve(on); err != nil {
			l.failed <- err
		}
	}()
}

// serveWeb is serve for HTTP, or for HTTPS when there is a certificate.
func (l listeners) serveWeb(on net.Listener, certificate *certs.Server, serve func(net.Listener) error) {
	if certificate == nil {
		l.serve("HTTP", on, serve)
		return
	}
	l.serve("HTTPS", tls.NewListener(on, certificate.Config()), serve)
}

// closing is the end of a server of HTTP.
func closing(c interface{ Close(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeHTTP)
	defer cancel()
	return c.Close(ctx)
}
