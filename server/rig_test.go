package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/protocol"
)

// patience bounds every wait of the tests; nothing that works takes as long.
const patience = 20 * time.Second

// rig is a server of a fresh broker on a port of its own.
type rig struct {
	t       *testing.T
	broker  *broker.Broker
	tcp     *TCP
	http    *HTTP
	address string
}

// start serves until the end of the test.
func start(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	return startOn(t, openBroker(t), change...)
}

func startOn(t *testing.T, b *broker.Broker, change ...func(*Options)) *rig {
	t.Helper()
	o := DefaultOptions()
	for _, c := range change {
		c(&o)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, broker: b, tcp: NewTCP(b, o), address: l.Addr().String()}
	r.http = NewHTTP(b, r.tcp, o, Ports{TCP: PortOf(l.Addr()), HTTP: 4151})
	served := make(chan error, 1)
	go func() { served <- r.tcp.Serve(l) }()
	t.Cleanup(func() {
		if err := r.tcp.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// client is one raw connection.
type client struct {
	t *testing.T
	net.Conn
}

// dial connects without saying anything.
func (r *rig) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &client{r.t, conn}
}

// connect connects and sends the magic and the given bytes.
func (r *rig) connect(first ...string) *client {
	r.t.Helper()
	c := r.dial()
	c.send(protocol.Magic + strings.Join(first, ""))
	return c
}

// consume connects a consumer with the given RDY count, 0 for none.
func (r *rig) consume(topic, channel string, ready int) *client {
	r.t.Helper()
	c := r.connect("SUB " + topic + " " + channel + "\n")
	c.expect("OK")
	if ready > 0 {
		c.send(fmt.Sprintf("RDY %d\n", ready))
	}
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// frame reads the next frame that is not a heartbeat.
func (c *client) frame() (protocol.FrameType, string) {
	c.t.Helper()
	for {
		kind, data, err := c.tryFrame()
		if err != nil {
			c.t.Fatalf("while waiting for a frame: %v", err)
		}
		if data != "_heartbeat_" {
			return kind, data
		}
	}
}

func (c *client) tryFrame() (protocol.FrameType, string, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	defer c.SetReadDeadline(time.Time{})
	return c.readFrame()
}

// readFrame waits for ever.
func (c *client) readFrame() (protocol.FrameType, string, error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, "", err
	}
	data := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err := io.ReadFull(c, data)
	return protocol.FrameType(binary.BigEndian.Uint32(head[4:])), string(data), err
}

// expect reads response frames.
func (c *client) expect(responses ...string) {
	c.t.Helper()
	for _, want := range responses {
		if kind, got := c.frame(); kind != protocol.FrameResponse || got != want {
			c.t.Fatalf("got frame %d %q, want response %q", kind, got, want)
		}
	}
}

// expectError reads an error frame.
func (c *client) expectError(want string) {
	c.t.Helper()
	if kind, got := c.frame(); kind != protocol.FrameError || got != want {
		c.t.Fatalf("got frame %d %q, want error %q", kind, got, want)
	}
}

// expectEnd wants the server to close the connection in good order, with
// nothing but heartbeats before.
func (c *client) expectEnd() {
	c.t.Helper()
	for {
		kind, data, err := c.tryFrame()
		switch {
		case err == nil && data == "_heartbeat_":
		case err == nil:
			c.t.Fatalf("got frame %d %q, want the end", kind, data)
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.t.Fatal("the connection stayed open")
		case err != io.EOF:
			c.t.Fatalf("the connection ended with %v", err)
		default:
			return
		}
	}
}

// expectOpen wants the connection to work and no frame to have come.
func (c *client) expectOpen() {
	c.t.Helper()
	c.send(pub("still.open", "x"))
	c.expect("OK")
}

// delivered is a message frame taken apart.
type delivered struct {
	timestamp int64
	attempts  uint16
	id, body  string
}

// message reads a message frame.
func (c *client) message() delivered {
	c.t.Helper()
	kind, data := c.frame()
	if kind != protocol.FrameMessage || len(data) < 26 {
		c.t.Fatalf("got frame %d %q, want a message", kind, data)
	}
	return delivered{
		timestamp: int64(binary.BigEndian.Uint64([]byte(data))),
		attempts:  binary.BigEndian.Uint16([]byte(data[8:])),
		id:        data[10:26],
		body:      data[26:],
	}
}

func size(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

func sized(body string) string { return size(len(body)) + body }

func pub(topic, body string) string { return "PUB " + topic + "\n" + sized(body) }

func dpub(topic string, ms int, body string) string {
	return fmt.Sprintf("DPUB %s %d\n", topic, ms) + sized(body)
}

func mpub(topic string, bodies ...string) string {
	b := size(len(bodies))
	for _, body := range bodies {
		b += sized(body)
	}
	return "MPUB " + topic + "\n" + sized(b)
}

func identify(json string) string { return "IDENTIFY\n" + sized(json) }
