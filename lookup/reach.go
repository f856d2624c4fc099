package lookup

import (
	"context"
	"net"
	"time"
)

// reachAgain is when a directory that has neither taken nor refused a connection
// is tried once more beside the first attempt. Where packets are dropped the
// system would only send the next one after a second.
const reachAgain = 500 * time.Millisecond

// dialer connects, as [net.Dialer.DialContext] does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// reach connects to a directory within ioTimeout: to the first of its addresses
// that takes the connection.
func (r *Resolver) reach(ctx context.Context, address string, dial dialer) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	targets, err := r.targets(ctx, address)
	if err != nil {
		return nil, err
	}
	return race(ctx, dial, targets)
}

// race dials all targets at once, and again after a while, and returns the first
// connection. When it returns no attempt is under way.
func race(ctx context.Context, dial dialer, targets []string) (conn net.Conn, err error) {
	type outcome struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome)
	running := 0
	start := func() {
		for _, target := range targets {
			running++
			go func() {
				c, err := dial(ctx, "tcp", target)
				outcomes <- outcome{c, err}
			}()
		}
	}
	start()
	again := time.NewTimer(reachAgain)
	defer again.Stop()
	for running > 0 {
		select {
		case o := <-outcomes:
			running--
			switch {
			case o.err != nil:
				err = o.err
			case conn == nil:
				conn = o.conn
				cancel()
			default:
				o.conn.Close() // it came too late
			}
		case <-again.C:
			if conn == nil {
				start()
			}
		}
	}
	if conn != nil {
		return conn, nil
	}
	return nil, err
}
