package daemon

import (
	"context"
	"log/slog"
	"net"
	"time"
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

// closing is the end of a server of HTTP.
func closing(c interface{ Close(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeHTTP)
	defer cancel()
	return c.Close(ctx)
}
