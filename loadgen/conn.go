package loadgen

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"qmq/protocol"
)

// conn is a connection whose input is parsed where it was read. It belongs to
// one goroutine, except that others may write too.
type conn struct {
	net.Conn
	from io.Reader // the connection, or an encoding of it
	to   io.Writer

	in     []byte
	r, w   int // in[r:w] is read and not yet parsed
	newest int // size of the newest frame whose head was seen; 0: none
}

const (
	firstInput = 4 << 10
	maxInput   = maxBody + 4096 // bytes; more is not an answer to what is sent
	bigInput   = 512 << 10      // bytes that one read takes at most when much comes
)

func newConn(c net.Conn) *conn {
	return &conn{Conn: c, from: c, to: c, in: make([]byte, firstInput)}
}

// Write writes in the connection's encoding.
func (c *conn) Write(p []byte) (int, error) { return c.to.Write(p) }

// fill reads more. What was parsed in place is no longer valid.
func (c *conn) fill() error {
	if c.r == c.w || c.w == len(c.in) || c.r+c.newest > len(c.in) {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.in) && len(c.in) >= maxInput {
		return errors.New("the server sends a frame that is too long")
	}
	for c.w == len(c.in) || c.newest > len(c.in) {
		c.grow()
	}
	room := c.in[c.w:c.readEnd()]
	n, err := c.from.Read(room)
	c.w += n
	if n > 0 {
		if n == len(room) && len(c.in) < bigInput {
			c.grow()
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// readEnd is where a read should end: after a whole frame if all are as long as
// the newest one, so that none has to be moved before the next read.
func (c *conn) readEnd() int {
	if c.newest > 0 {
		whole := (len(c.in) - c.r) / c.newest
		if end := c.r + whole*c.newest; end > c.w {
			return end
		}
	}
	return len(c.in)
}

func (c *conn) grow() {
	grown := make([]byte, min(2*len(c.in), maxInput))
	copy(grown, c.in[:c.w])
	c.in = grown
}

// frame parses the next frame that is read completely; ok is false when there
// is none. The data is valid until fill.
func (c *conn) frame() (kind protocol.FrameType, data []byte, ok bool, err error) {
	b := c.in[c.r:c.w]
	if len(b) < 4 {
		return 0, nil, false, nil
	}
	size := int(binary.BigEndian.Uint32(b))
	if c.newest == 0 && string(b[:4]) == "HTTP" {
		return 0, nil, false, errHTTPPort
	}
	if size < 4 || size > maxInput-4 {
		return 0, nil, false, fmt.Errorf("the server sends a frame of %d bytes", size)
	}
	c.newest = 4 + size
	if len(b) < 4+size {
		return 0, nil, false, nil
	}
	c.r += 4 + size
	return protocol.FrameType(binary.BigEndian.Uint32(b[4:])), b[protocol.FrameOverhead : 4+size], true, nil
}

// errHTTPPort is the reason behind a first frame that is the start of an answer
// of HTTP.
var errHTTPPort = errors.New("this is an HTTP port; the TCP port of the message protocol is another one, by default 4150 beside 4151")

// response waits for a frame that is no heartbeat and returns its data, which
// is valid until fill.
func (c *conn) response() ([]byte, error) {
	for {
		kind, data, ok, err := c.frame()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			if err := c.fill(); err != nil {
				return nil, err
			}
		case kind == protocol.FrameError:
			return nil, errors.New(string(data))
		case kind != protocol.FrameResponse:
			return nil, fmt.Errorf("the server sends a frame of type %d", kind)
		case string(data) != heartbeat:
			return data, nil
		}
	}
}

const heartbeat = "_heartbeat_"

// userAgent is what the server's statistics call these connections.
const userAgent = "q-bench"

// dial opens a connection of the V2 protocol and tells the server's version.
// A heartbeatInterval is in ms; -1 is none, which only publishers may ask for.
func dial(ctx context.Context, address string, heartbeatInterval int, e Encoding) (c *conn, version string, err error) {
	var d net.Dialer
	n, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			n.Close()
			err = fmt.Errorf("%s: %w", address, err)
		}
	}()
	stop := context.AfterFunc(ctx, func() { n.Close() })
	defer stop()
	body, err := e.identity(heartbeatInterval)
	if err != nil {
		return nil, "", err
	}
	hello := append([]byte(protocol.Magic), "IDENTIFY\n"...)
	hello = binary.BigEndian.AppendUint32(hello, uint32(len(body)))
	if _, err := n.Write(append(hello, body...)); err != nil {
		return nil, "", err
	}
	c = newConn(n)
	answer, err := c.response()
	if err != nil {
		return nil, "", err
	}
	var settings protocol.IdentifyResponse
	if err := json.Unmarshal(answer, &settings); err != nil {
		return nil, "", fmt.Errorf("the answer to IDENTIFY is not understood: %w", err)
	}
	return c, settings.Version, e.upgrade(ctx, c, &settings)
}
