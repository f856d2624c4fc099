package tcpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"

	"qmq/internal/address"
	"qmq/protocol"
)

// RefusedError is a node's refusal of a command.
type RefusedError struct {
	Code protocol.Code
	Text string // what follows the code
}

func (e *RefusedError) Error() string { return string(e.Code) + " " + e.Text }

func refusal(data []byte) *RefusedError {
	code, text, _ := strings.Cut(string(data), " ")
	return &RefusedError{protocol.Code(code), text}
}

// errHTTPPort is the reason behind a first frame that begins an answer of HTTP.
var errHTTPPort = errors.New("this is an HTTP port; the TCP port of the message protocol is another one, by default 4150 beside 4151")

const (
	inputSize = 256 << 10 // bytes of an input buffer
	maxFrame  = 64 << 20  // bytes; more is no frame of a node
	// silence is how long a node that sends heartbeats may say nothing. They come
	// every 30 s by default, and every minute at the most.
	silence = 125 * time.Second
)

// conn is a connection after its handshakes. One goroutine reads; any may write.
type conn struct {
	address string
	o       *Options
	agreed  protocol.IdentifyResponse

	net  net.Conn // as it was dialled, or TLS on it
	from io.Reader

	in   []byte // in[r:] is read and not yet parsed; what is before it may be in use
	r    int
	seen bool // a frame came: it is no HTTP port
	// steady is set after the handshakes, which have a deadline of their own.
	steady bool

	writing sync.Mutex // guards to and what is written
	to      io.Writer
	flush   func() error // of to; nil: it keeps nothing back
}

// dial connects, identifies and authenticates.
func dial(ctx context.Context, at string, o *Options) (_ *conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.dialTimeout())
	defer cancel()
	var d net.Dialer
	n, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %w", at, err)
	}
	c := &conn{address: at, o: o, net: n, from: n, to: n}
	stop := context.AfterFunc(ctx, func() { n.SetDeadline(time.Now()) })
	err = c.shakeHands(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		n.Close()
		if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			err = fmt.Errorf("no answer within %v", o.dialTimeout())
		}
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	c.net.SetDeadline(time.Time{})
	c.steady = true
	return c, nil
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (c *conn) shakeHands(ctx context.Context) error {
	body, err := json.Marshal(c.o.identify())
	if err != nil {
		return err
	}
	if err := c.write(command([]byte(protocol.Magic), "IDENTIFY\n", body)); err != nil {
		return err
	}
	answer, err := c.response()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, &c.agreed); err != nil {
		return fmt.Errorf("the answer to IDENTIFY is not understood: %w", err)
	}
	if err := c.upgrade(ctx); err != nil {
		return err
	}
	return c.authenticate()
}

// command appends a command with a body.
func command(dst []byte, line string, body []byte) []byte {
	dst = append(dst, line...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// upgrade changes to TLS and compression as they are wanted. Each step is
// confirmed in its own encoding.
func (c *conn) upgrade(ctx context.Context) error {
	for _, step := range []struct {
		name           string
		wanted, agreed bool
		take           func(context.Context) error
	}{
		{"TLS", c.o.TLS != nil, c.agreed.TLSv1, c.encrypt},
		{"snappy", c.o.Snappy, c.agreed.Snappy, c.snappy},
		{"deflate", c.o.Deflate > 0, c.agreed.Deflate, c.deflate},
	} {
		if !step.wanted {
			continue
		}
		if !step.agreed {
			return fmt.Errorf("the node offers no %s", step.name)
		}
		if err := step.take(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		answer, err := c.response()
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if string(answer) != "OK" {
			return fmt.Errorf("%s: the node answers %q", step.name, answer)
		}
	}
	return nil
}

func (c *conn) encrypt(ctx context.Context) error {
	config := c.o.TLS.Clone()
	if host, _, err := net.SplitHostPort(c.address); err == nil && config.ServerName == "" {
		config.ServerName = address.Bare(host)
	}
	t := tls.Client(c.net, config)
	c.net, c.from, c.to = t, t, t
	return t.HandshakeContext(ctx)
}

func (c *conn) snappy(context.Context) error {
	w := snappy.NewBufferedWriter(c.to)
	c.from, c.to, c.flush = snappy.NewReader(c.unparsed()), w, w.Flush
	return nil
}

func (c *conn) deflate(context.Context) error {
	w, err := flate.NewWriter(c.to, c.o.Deflate)
	if err != nil {
		return err
	}
	c.from, c.to, c.flush = flate.NewReader(c.unparsed()), w, w.Flush
	return nil
}

// unparsed is what comes, with what has come already: a node begins to compress
// right after it has agreed to.
func (c *conn) unparsed() io.Reader {
	rest := c.in[c.r:]
	c.in, c.r = nil, 0
	return io.MultiReader(bytes.NewReader(rest), c.from)
}

func (c *conn) authenticate() error {
	if !c.agreed.AuthRequired {
		return nil
	}
	if c.o.Secret == "" {
		return errors.New("the node wants a secret (AUTH) and none is given")
	}
	if err := c.write(command(nil, "AUTH\n", []byte(c.o.Secret))); err != nil {
		return err
	}
	_, err := c.response()
	return err
}

// write sends p. Any goroutine may call it.
func (c *conn) write(p []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.steady {
		c.net.SetWriteDeadline(time.Now().Add(c.o.writeTimeout()))
	}
	if _, err := c.to.Write(p); err != nil {
		return err
	}
	if c.flush != nil {
		return c.flush()
	}
	return nil
}

// frame parses the next frame that has come completely; ok is false when there is
// none. The data stays valid: its memory is not used again.
func (c *conn) frame() (kind protocol.FrameType, data []byte, ok bool, err error) {
	b := c.in[c.r:]
	if len(b) < 4 {
		return 0, nil, false, nil
	}
	if !c.seen && string(b[:4]) == "HTTP" {
		return 0, nil, false, errHTTPPort
	}
	size := int(binary.BigEndian.Uint32(b))
	if size < 4 || size > maxFrame {
		return 0, nil, false, fmt.Errorf("a frame of %d bytes is none of a node", size)
	}
	if len(b) < 4+size {
		return 0, nil, false, nil
	}
	c.seen = true
	c.r += 4 + size
	return protocol.FrameType(binary.BigEndian.Uint32(b[4:])), b[protocol.FrameOverhead : 4+size : 4+size], true, nil
}

// fill reads more, behind what is there or into new memory.
func (c *conn) fill() error {
	rest := c.in[c.r:]
	need := 4
	if len(rest) >= 4 {
		need = 4 + int(binary.BigEndian.Uint32(rest))
	}
	if room := cap(c.in) - c.r; room < need || cap(c.in)-len(c.in) < inputSize/8 {
		c.in = append(make([]byte, 0, max(inputSize, need)), rest...)
		c.r = 0
	}
	if c.steady {
		c.net.SetReadDeadline(time.Now().Add(silence))
	}
	n, err := c.from.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// next waits for a frame that is no heartbeat, and answers those.
func (c *conn) next() (protocol.FrameType, []byte, error) {
	for {
		kind, data, ok, err := c.frame()
		switch {
		case err != nil:
			return 0, nil, err
		case !ok:
			if err := c.fill(); err != nil {
				return 0, nil, err
			}
		case kind == protocol.FrameResponse && string(data) == heartbeat:
			if err := c.write([]byte("NOP\n")); err != nil {
				return 0, nil, err
			}
		default:
			return kind, data, nil
		}
	}
}

const heartbeat = "_heartbeat_"

// response waits for the answer to a command.
func (c *conn) response() ([]byte, error) {
	kind, data, err := c.next()
	switch {
	case err != nil:
		return nil, err
	case kind == protocol.FrameError:
		return nil, refusal(data)
	case kind != protocol.FrameResponse:
		return nil, fmt.Errorf("the node sends a frame of type %d instead of an answer", kind)
	}
	return data, nil
}
