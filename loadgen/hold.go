package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"

	"qmq/protocol"
)

// Held are messages that one consumer has in flight and does not answer.
type Held struct {
	conn  *conn
	have  chan struct{} // closed when all are there
	ended chan error    // gets why the consumer ended, once
}

// Hold subscribes a consumer that takes the next n messages of a channel and
// keeps them, until Close or until the server's timeout ends. The server must
// allow a RDY count of n.
func Hold(ctx context.Context, t Target, topic, channel string, n int) (*Held, error) {
	c, _, err := dial(ctx, t.TCP, 0, Encoding{})
	if err != nil {
		return nil, err
	}
	if err = subscribe(c, topic, channel); err == nil {
		_, err = fmt.Fprintf(c, "RDY %d\n", n)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	h := &Held{conn: c, have: make(chan struct{}), ended: make(chan error, 1)}
	go func() { h.ended <- h.take(n) }()
	return h, nil
}

// Await returns when all the messages have come.
func (h *Held) Await(ctx context.Context) error {
	select {
	case <-h.have:
		return nil
	case err := <-h.ended:
		h.ended <- err
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close gives the messages back.
func (h *Held) Close() {
	h.conn.Close()
	<-h.ended
}

// take counts messages and answers heartbeats until the connection ends.
func (h *Held) take(n int) error {
	for {
		kind, data, ok, err := h.conn.frame()
		switch {
		case err != nil:
			return err
		case !ok:
			if err := h.conn.fill(); errors.Is(err, net.ErrClosed) {
				return nil
			} else if err != nil {
				return fmt.Errorf("holder: %w", err)
			}
		case kind == protocol.FrameMessage:
			if n--; n == 0 {
				close(h.have)
			}
		case kind == protocol.FrameResponse && string(data) == heartbeat:
			if _, err := fmt.Fprint(h.conn, "NOP\n"); err != nil {
				return err
			}
		default:
			return fmt.Errorf("holder: the server sends a frame of type %d: %q", kind, data[:min(len(data), 512)])
		}
	}
}
