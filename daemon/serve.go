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

// faces are the listeners of a daemon at work.
type faces struct {
	log       *slog.Logger
	failed    chan error
	listening map[string]string
}

func newFaces(log *slog.Logger) faces {
	const most = 4 // listeners, each of which may fail once
	return faces{log: log, failed: make(chan error, most), listening: make(map[string]string)}
}

// Failed is part of Daemon.
func (f faces) Failed() <-chan error { return f.failed }

// Addresses is part of Daemon.
func (f faces) Addresses() map[string]string { return f.listening }

// serve runs a server on l until it is closed, after a log line that scripts
// wait for. The server's Close waits for what it does. Name is TCP, HTTP or
// HTTPS.
func (f faces) serve(name string, l net.Listener, serve func(net.Listener) error) {
	f.listening[name] = l.Addr().String()
	f.log.Info(name + ": listening on " + l.Addr().String())
	go func() {
		if err := serve(l); err != nil {
			f.failed <- err
		}
	}()
}

// serveWeb is serve for HTTP, or for HTTPS when there is a certificate.
func (f faces) serveWeb(l net.Listener, certificate *certs.Server, serve func(net.Listener) error) {
	if certificate == nil {
		f.serve("HTTP", l, serve)
		return
	}
	f.serve("HTTPS", tls.NewListener(l, certificate.Config()), serve)
}

// closing is the end of a server of HTTP.
func closing(c interface{ Close(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeHTTP)
	defer cancel()
	return c.Close(ctx)
}
