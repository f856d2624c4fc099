// Package stream is the two directions of a client's connection: what came and
// is not carried out yet, what is sent, and the layers between them and the
// socket: TLS, snappy, deflate. It knows bytes and whole frames, and nothing of
// commands.
//
// It has no goroutines. The Input belongs to the one that reads; the Output may
// be written to by several. An idle connection holds no buffer.
package stream

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"qmq/internal/budget"
)

// Options are the limits of a connection.
type Options struct {
	// MaxCommand is the longest command in bytes, all of it.
	MaxCommand int
	// Unfinished is the memory that connections share for commands that have not
	// come in full; nil: there is no limit.
	Unfinished *budget.Budget
	// Stop is closed when nobody is to wait for memory any more.
	Stop <-chan struct{}
}

// ErrStopping is what a connection is told that would have to wait for memory
// after Options.Stop was closed.
var ErrStopping = errors.New("server is closing")

// Conn is a connection. In and all methods but SetReadDeadline and Close belong to
// the goroutine that reads; Out may be used concurrently.
type Conn struct {
	In  Input
	Out Output

	conn    net.Conn
	tls     *tls.Conn      // nil without TLS
	inflate *deflateReader // nil without deflate
}

// Init begins with nothing between the two directions and conn.
func (c *Conn) Init(conn net.Conn, o Options) {
	c.conn = conn
	c.In.init(conn, o)
	c.Out.wire.init(conn)
}

// SetReadDeadline bounds reads under way and those that follow; the zero time
// means that there is no bound.
func (c *Conn) SetReadDeadline(by time.Time) { c.conn.SetReadDeadline(by) }

// Close closes the socket. Reads and writes under way fail.
func (c *Conn) Close() { c.conn.Close() }

// Release gives back all memory that is borrowed. The connection must not be
// read any more.
func (c *Conn) Release() {
	c.In.release()
	if c.inflate != nil {
		c.inflate.release()
		c.inflate = nil
	}
}

// CloseWrite tells the client that nothing else will come. It returns false when
// it cannot be told without closing the connection.
func (c *Conn) CloseWrite() bool {
	if c.tls != nil {
		c.tls.CloseWrite() // its error shows again just below
	}
	half, ok := c.conn.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// Drain throws away what the client still sends, until it closes the connection or
// the read deadline has passed. Closing a connection with unread bytes in it
// would reset it, and the client might never see what was sent last.
func (c *Conn) Drain() {
	waste := TakeBuffer(minBuffer)
	defer waste.Give()
	for {
		if _, err := c.conn.Read(waste.B); err != nil {
			return
		}
	}
}

// StartSnappy puts snappy between the two directions and what they were on top
// of. What came and was not consumed is taken as packed.
func (c *Conn) StartSnappy() {
	r := &snappyReader{from: layerReader{in: c.In.insert()}}
	c.In.readThrough(r)
	c.Out.writeThrough(&snappyWriter{to: c.Out.below()})
}

// StartDeflate does the same with deflate of a level from 1 to 9.
func (c *Conn) StartDeflate(level int) {
	c.inflate = newDeflateReader(layerReader{in: c.In.insert()})
	c.In.readThrough(c.inflate)
	c.Out.writeThrough(&deflateWriter{to: c.Out.below(), level: level})
}

// TLS tells what the handshake came to; ok is false without TLS.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) {
	if c.tls == nil {
		return state, false
	}
	return c.tls.ConnectionState(), true
}
