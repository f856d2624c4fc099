package server

import (
	"net"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/protocol"
	"qmq/test/node"
	"qmq/test/wire"
)

// testTimeout bounds every wait of the tests; nothing that works takes as long.
const testTimeout = time.Minute

// rig is a server of a fresh broker on a port of its own.
type rig struct {
	t       *testing.T
	broker  *broker.Broker
	tcp     *TCP
	address string
}

// start serves until the end of the test.
func start(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	return startOn(t, node.Open(t), change...)
}

func startOn(t *testing.T, b *broker.Broker, change ...func(*Options)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, b, l, change...)
}

// serve has a server listen there until the end of the test.
func serve(t *testing.T, b *broker.Broker, l net.Listener, change ...func(*Options)) *rig {
	t.Helper()
	o := DefaultOptions()
	for _, c := range change {
		c(&o)
	}
	r := &rig{t: t, broker: b, tcp: NewTCP(b, o), address: l.Addr().String()}
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

// newClient is a raw connection. It reads no byte too many, so that another
// layer may begin behind any frame.
func newClient(t *testing.T, conn net.Conn) *wire.Conn {
	c := wire.NewConn(t, conn)
	c.Exact = true
	return c
}

// dial connects without saying anything.
func (r *rig) dial() *wire.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return newClient(r.t, conn)
}

// connect connects and sends the magic and the given bytes.
func (r *rig) connect(first ...string) *wire.Conn {
	r.t.Helper()
	c := r.dial()
	c.Send(protocol.Magic + strings.Join(first, ""))
	return c
}

// consume connects a consumer with the given RDY count, 0 for none.
func (r *rig) consume(topic, channel string, ready int) *wire.Conn {
	r.t.Helper()
	c := r.connect()
	c.Consume(topic, channel, ready)
	return c
}
