package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// maxFrame is above anything a daemon may send.
const maxFrame = 8 << 20

// Client is one raw connection: it reads frames out of one buffer and collects
// commands in another. One goroutine uses it. A deadline that is zero is none.
type Client struct {
	net.Conn
	// Exact has no byte read that is not part of the frame that is waited for, so
	// that another layer may begin behind it, in place of Conn.
	Exact bool
	Out   []byte // commands that are not yet written

	in       []byte // in[from:to] is read and not yet taken
	from, to int
}

// Dial connects; the magic is the first thing to be flushed.
func Dial(ctx context.Context, address string) (*Client, error) {
	const timeout = 5 * time.Second
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: conn, Out: append(make([]byte, 0, 128<<10), Magic...), in: make([]byte, 256<<10)}, nil
}

// Abort ends the connection with a reset: what the daemon has not read is gone.
func (c *Client) Abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// Flush writes the collected commands.
func (c *Client) Flush(deadline time.Time) error {
	if len(c.Out) == 0 {
		return nil
	}
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := c.Write(c.Out)
	c.Out = c.Out[:0]
	return err
}

// Buffered takes the next frame out of the buffer; ok is false when none is
// whole. Data is valid until the next read.
func (c *Client) Buffered() (kind int, data []byte, ok bool, err error) {
	b := c.in[c.from:c.to]
	if len(b) < 8 {
		return 0, nil, false, nil
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	if size < 4 || size > maxFrame {
		return 0, nil, false, fmt.Errorf("frame of %d bytes", size)
	}
	if len(b) < 4+size {
		return 0, nil, false, nil
	}
	c.from += 4 + size
	return int(binary.BigEndian.Uint32(b[4:])), b[8 : 4+size], true, nil
}

// Fill reads once.
func (c *Client) Fill(deadline time.Time) error {
	if c.from > 0 {
		c.to = copy(c.in, c.in[c.from:c.to])
		c.from = 0
	}
	const least = 4 << 10
	limit := c.to + 1
	if c.Exact {
		limit = c.missing()
	}
	if limit > len(c.in) {
		c.in = append(c.in, make([]byte, max(least, len(c.in), limit-len(c.in)))...)
	}
	if !c.Exact {
		limit = len(c.in)
	}
	_ = c.SetReadDeadline(deadline) // where it cannot be set, the connection has ended, as the read tells
	n, err := c.Conn.Read(c.in[c.to:limit])
	c.to += n
	return err
}

// missing is where the frame ends that begins in the buffer, or its head does.
func (c *Client) missing() int {
	if c.to < 8 {
		return 8
	}
	return 4 + min(int(binary.BigEndian.Uint32(c.in)), maxFrame)
}

// Read reads what follows the frames that were taken.
func (c *Client) Read(b []byte) (int, error) {
	if c.from == c.to {
		return c.Conn.Read(b)
	}
	n := copy(b, c.in[c.from:c.to])
	c.from += n
	return n, nil
}

// Any waits for the next frame.
func (c *Client) Any(deadline time.Time) (kind int, data []byte, err error) {
	for {
		kind, data, ok, err := c.Buffered()
		if ok || err != nil {
			return kind, data, err
		}
		if err := c.Fill(deadline); err != nil {
			return 0, nil, err
		}
	}
}

// Next waits for a frame that is no heartbeat; heartbeats are answered.
func (c *Client) Next(deadline time.Time) (kind int, data []byte, err error) {
	for {
		kind, data, err = c.Any(deadline)
		if err != nil || kind != Response || string(data) != Heartbeat {
			return kind, data, err
		}
		c.Out = append(c.Out, "NOP\n"...)
		if err := c.Flush(deadline); err != nil {
			return 0, nil, err
		}
	}
}

// Refusal is an error frame.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Command sends what is collected and expects one response.
func (c *Client) Command(deadline time.Time) (string, error) {
	if err := c.Flush(deadline); err != nil {
		return "", err
	}
	kind, data, err := c.Next(deadline)
	if err != nil {
		return "", err
	}
	if kind != Response {
		return "", Refusal(data)
	}
	return string(data), nil
}

// Subscribe makes the connection a consumer's.
func (c *Client) Subscribe(identify, topic, channel string, deadline time.Time) error {
	c.Out = append(c.Out, Identify(identify)...)
	if _, err := c.Command(deadline); err != nil {
		return fmt.Errorf("IDENTIFY: %w", err)
	}
	c.Out = fmt.Appendf(c.Out, "SUB %s %s\n", topic, channel)
	answer, err := c.Command(deadline)
	if err == nil && answer != "OK" {
		err = Refusal(answer)
	}
	if err != nil {
		return fmt.Errorf("SUB: %w", err)
	}
	return nil
}

// Ready collects a RDY.
func (c *Client) Ready(n int) { c.Out = fmt.Appendf(c.Out, "RDY %d\n", n) }

// Sized collects a size.
func (c *Client) Sized(n int) { c.Out = binary.BigEndian.AppendUint32(c.Out, uint32(n)) }

// Answer collects a FIN or TOUCH.
func (c *Client) Answer(verb string, id *ID) {
	c.Out = append(c.Out, verb...)
	c.Out = append(c.Out, ' ')
	c.Out = append(c.Out, id[:]...)
	c.Out = append(c.Out, '\n')
}

// Requeue collects a REQ.
func (c *Client) Requeue(id *ID, delay time.Duration) {
	c.Out = append(c.Out, "REQ "...)
	c.Out = append(c.Out, id[:]...)
	c.Out = fmt.Appendf(c.Out, " %d\n", delay.Milliseconds())
}
