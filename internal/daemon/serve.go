package daemon

import (
	"context"
	"fmt"
	"net"
	"time"
)

// closeHTTP is how long HTTP requests under way may take at the end.
const closeHTTP = 2 * time.Second

// faces are the servers of a daemon at work.
type faces struct {
	failed chan error
}

func newFaces() faces { return faces{failed: make(chan error, 4)} } // room for one error of each listener

// Failed is part of Daemon.
func (f faces) Failed() <-chan error { return f.failed }

// serve runs a server on l until it is closed. The server's Close waits for
// what it does.
func (f faces) serve(serve func(net.Listener) error, l net.Listener) {
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
