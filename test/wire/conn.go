package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Timeout bounds every wait of a Conn; nothing that works takes as long.
const Timeout = 2 * time.Minute

// Conn is one connection of a test. Its methods that may end the test belong to
// the test's goroutine; others return errors.
type Conn struct {
	T testing.TB
	*Client
}

// NewConn is a connection over which nothing was said, in either direction.
func NewConn(t testing.TB, conn net.Conn) *Conn {
	return &Conn{t, &Client{Conn: conn}}
}

// Open connects to a V2 port without saying anything, until the end of the test.
func Open(t testing.TB, address string) *Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return NewConn(t, conn)
}

// Connect connects and sends the magic and the given bytes.
func Connect(t testing.TB, address string, first ...string) *Conn {
	t.Helper()
	c := Open(t, address)
	c.Send(Magic + strings.Join(first, ""))
	return c
}

// Consume connects a consumer with the given RDY count, 0 for none.
func Consume(t testing.TB, address, topic, channel string, ready int) *Conn {
	t.Helper()
	c := Connect(t, address)
	c.Consume(topic, channel, ready)
	return c
}

// Consume subscribes, with the given RDY count, 0 for none.
func (c *Conn) Consume(topic, channel string, ready int) {
	c.T.Helper()
	c.Send("SUB " + topic + " " + channel + "\n")
	c.Expect("OK")
	if ready > 0 {
		c.Send(fmt.Sprintf("RDY %d\n", ready))
	}
}

// Send sends bytes.
func (c *Conn) Send(s string) {
	c.T.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.T.Fatal(err)
	}
}

// AnyFrame reads the next frame.
func (c *Conn) AnyFrame() (kind int, data string, err error) {
	defer c.SetDeadline(time.Time{}) // what else is done with the connection has its own
	k, b, err := c.Any(time.Now().Add(Timeout))
	return k, string(b), err
}

// TryFrame reads the next frame that is not a heartbeat, which it answers.
func (c *Conn) TryFrame() (kind int, data string, err error) {
	defer c.SetDeadline(time.Time{})
	k, b, err := c.Next(time.Now().Add(Timeout))
	return k, string(b), err
}

// Frame reads the next frame that is not a heartbeat, which it answers.
func (c *Conn) Frame() (kind int, data string) {
	c.T.Helper()
	kind, data, err := c.TryFrame()
	if err != nil {
		c.T.Fatalf("while waiting for a frame: %v", err)
	}
	return kind, data
}

// Expect reads response frames.
func (c *Conn) Expect(responses ...string) {
	c.T.Helper()
	for _, want := range responses {
		if kind, got := c.Frame(); kind != Response || got != want {
			c.T.Fatalf("got frame %d %q, want response %q", kind, got, want)
		}
	}
}

// ExpectError reads an error frame.
func (c *Conn) ExpectError(want string) {
	c.T.Helper()
	if kind, got := c.Frame(); kind != Error || got != want {
		c.T.Fatalf("got frame %d %q, want error %q", kind, got, want)
	}
}

// ExpectEnd wants the server to close the connection in good order, with
// nothing but heartbeats before, which nobody answers.
func (c *Conn) ExpectEnd() {
	c.T.Helper()
	for {
		kind, data, err := c.AnyFrame()
		switch {
		case err == nil && kind == Response && data == Heartbeat:
		case err == nil:
			c.T.Fatalf("got frame %d %q, want the end", kind, data)
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.T.Fatal("the connection stayed open")
		case err != io.EOF:
			c.T.Fatalf("the connection ended with %v", err)
		default:
			return
		}
	}
}

// ExpectOpen wants the connection to work and no frame to have come.
func (c *Conn) ExpectOpen() {
	c.T.Helper()
	c.Send(Pub("still.open", "x"))
	c.Expect("OK")
}

// Message reads a message frame.
func (c *Conn) Message() Message {
	c.T.Helper()
	kind, data := c.Frame()
	m, err := ParseMessage(data)
	if kind != Delivery || err != nil {
		c.T.Fatalf("got frame %d %q, want a message", kind, data)
	}
	return m
}

// Headed reads a message frame with headers.
func (c *Conn) Headed() HeadedMessage {
	c.T.Helper()
	kind, data := c.Frame()
	m, err := ParseHeaded(data)
	if kind != Headed || err != nil {
		c.T.Fatalf("got frame %d %q, want a message with headers: %v", kind, data, err)
	}
	return m
}

// Messages reads messages with these bodies, in this order.
func (c *Conn) Messages(bodies ...string) []Message {
	c.T.Helper()
	var all []Message
	for _, want := range bodies {
		m := c.Message()
		if m.Body != want {
			c.T.Fatalf("got %.50q (attempt %d), want %.50q", m.Body, m.Attempts, want)
		}
		all = append(all, m)
	}
	return all
}

// Fin finishes messages.
func (c *Conn) Fin(messages ...Message) {
	c.T.Helper()
	var b strings.Builder
	for _, m := range messages {
		b.WriteString("FIN " + m.ID + "\n")
	}
	c.Send(b.String())
}

// Req requeues a message with a delay in milliseconds.
func (c *Conn) Req(m Message, ms int) {
	c.T.Helper()
	c.Send(fmt.Sprintf("REQ %s %d\n", m.ID, ms))
}

// Publish publishes bodies one by one and waits for their OKs.
func (c *Conn) Publish(topic string, bodies ...string) {
	c.T.Helper()
	var b strings.Builder
	for _, body := range bodies {
		b.WriteString(Pub(topic, body))
	}
	c.Send(b.String())
	for range bodies {
		c.Expect("OK")
	}
}
