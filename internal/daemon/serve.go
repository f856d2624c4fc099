package daemon

import (
	"context"
	"fmt"
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

// listen opens a TCP listener, or one on a unix socket for what is no
// host:port.
func listen(address string) (net.Listener, error) {
	network := "tcp"
	if _, _, err := net.SplitHostPort(address); err != nil {
		network = "unix"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen (%s) failed - %w", address, err)
	}
	return l, nil
}
