package semantics

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// The frame types of V2.
const (
	response = 0
	failure  = 1
	delivery = 2
)

// conn is one raw V2 connection. Its methods that may fail the test belong to
// the test's goroutine.
type conn struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// dial connects to a V2 port without saying anything.
func dial(t *testing.T, address string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &conn{t, c, bufio.NewReaderSize(c, 64<<10)}
}

// connect connects and sends the magic and the given bytes.
func (n *node) connect(first ...string) *conn {
	n.t.Helper()
	return connect(n.t, n.address, first...)
}

func connect(t *testing.T, address string, first ...string) *conn {
	t.Helper()
	c := dial(t, address)
	c.send("  V2" + strings.Join(first, ""))
	return c
}

// consume connects a consumer with the given RDY count, 0 for none.
func (n *node) consume(topic, channel string, ready int) *conn {
	n.t.Helper()
	return consume(n.t, n.address, topic, channel, ready)
}

func consume(t *testing.T, address, topic, channel string, ready int) *conn {
	t.Helper()
	c := connect(t, address, "SUB "+topic+" "+channel+"\n")
	c.expect("OK")
	if ready > 0 {
		c.send(fmt.Sprintf("RDY %d\n", ready))
	}
	return c
}

func (c *conn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// tryFrame reads the next frame that is not a heartbeat, which it answers.
func (c *conn) tryFrame() (kind int, data string, err error) {
	for {
		if kind, data, err = c.anyFrame(); err != nil || kind != response || data != "_heartbeat_" {
			return kind, data, err
		}
		if _, err := io.WriteString(c, "NOP\n"); err != nil {
			return 0, "", err
		}
	}
}

// anyFrame reads the next frame.
func (c *conn) anyFrame() (kind int, data string, err error) {
	c.SetReadDeadline(time.Now().Add(patience))
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, "", err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err = io.ReadFull(c.r, b)
	return int(binary.BigEndian.Uint32(head[4:])), string(b), err
}

func (c *conn) frame() (kind int, data string) {
	c.t.Helper()
	kind, data, err := c.tryFrame()
	if err != nil {
		c.t.Fatalf("while waiting for a frame: %v", err)
	}
	return kind, data
}

// expect reads response frames.
func (c *conn) expect(responses ...string) {
	c.t.Helper()
	for _, want := range responses {
		if kind, got := c.frame(); kind != response || got != want {
			c.t.Fatalf("got frame %d %q, want response %q", kind, got, want)
		}
	}
}

// expectError reads an error frame.
func (c *conn) expectError(want string) {
	c.t.Helper()
	if kind, got := c.frame(); kind != failure || got != want {
		c.t.Fatalf("got frame %d %q, want error %q", kind, got, want)
	}
}

// expectEnd wants the server to close the connection in good order, with
// nothing but heartbeats before.
func (c *conn) expectEnd() {
	c.t.Helper()
	switch kind, data, err := c.tryFrame(); {
	case err == nil:
		c.t.Fatalf("got frame %d %q, want the end", kind, data)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatal("the connection stayed open")
	}
}

// expectOpen wants the connection to work and no frame to have come.
func (c *conn) expectOpen() {
	c.t.Helper()
	c.send(pub("still.open", "x"))
	c.expect("OK")
}

// message is a message frame taken apart.
type message struct {
	timestamp int64
	attempts  uint16
	id, body  string
}

func parseMessage(data string) message {
	return message{
		timestamp: int64(binary.BigEndian.Uint64([]byte(data[:8]))),
		attempts:  binary.BigEndian.Uint16([]byte(data[8:10])),
		id:        data[10:26],
		body:      data[26:],
	}
}

// message reads a message frame.
func (c *conn) message() message {
	c.t.Helper()
	kind, data := c.frame()
	if kind != delivery || len(data) < 26 {
		c.t.Fatalf("got frame %d %q, want a message", kind, data)
	}
	return parseMessage(data)
}

// messages reads messages with these bodies, in this order.
func (c *conn) messages(bodies ...string) []message {
	c.t.Helper()
	var all []message
	for _, want := range bodies {
		m := c.message()
		if m.body != want {
			c.t.Fatalf("got %.50q (attempt %d), want %.50q", m.body, m.attempts, want)
		}
		all = append(all, m)
	}
	return all
}

func (c *conn) fin(messages ...message) {
	c.t.Helper()
	var b strings.Builder
	for _, m := range messages {
		b.WriteString("FIN " + m.id + "\n")
	}
	c.send(b.String())
}

func (c *conn) req(m message, ms int) {
	c.t.Helper()
	c.send(fmt.Sprintf("REQ %s %d\n", m.id, ms))
}

// publish publishes bodies one by one and waits for their OKs.
func (c *conn) publish(topic string, bodies ...string) {
	c.t.Helper()
	var b strings.Builder
	for _, body := range bodies {
		b.WriteString(pub(topic, body))
	}
	c.send(b.String())
	for range bodies {
		c.expect("OK")
	}
}

func size(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

func sized(body string) string { return size(len(body)) + body }

func pub(topic, body string) string { return "PUB " + topic + "\n" + sized(body) }

func dpub(topic string, ms int, body string) string {
	return fmt.Sprintf("DPUB %s %d\n", topic, ms) + sized(body)
}

func mpub(topic string, bodies ...string) string {
	var b strings.Builder
	b.WriteString(size(len(bodies)))
	for _, body := range bodies {
		b.WriteString(sized(body))
	}
	return "MPUB " + topic + "\n" + sized(b.String())
}

func identify(json string) string { return "IDENTIFY\n" + sized(json) }

// numbered is n different bodies.
func numbered(prefix string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprint(prefix, i)
	}
	return bodies
}
