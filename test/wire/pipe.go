package wire

import (
	"io"
	"net"
	"sync"
	"time"
)

// PipeListener is a listener without sockets, for use in fake time.
type PipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once // of Close
}

// NewPipeListener makes one to which nobody has connected.
func NewPipeListener() *PipeListener {
	return &PipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial returns the client's end of a connection, once it is accepted.
func (l *PipeListener) Dial() net.Conn {
	here, there := net.Pipe()
	l.conns <- there
	return here
}

// Accept waits for a Dial, or for Close.
func (l *PipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections stay.
func (l *PipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr names no place.
func (l *PipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// Drip writes text to conn, a byte each interval, and returns how long the other
// side took to end it.
func Drip(conn net.Conn, text string, interval time.Duration) time.Duration {
	began := time.Now()
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range text {
			if _, err := conn.Write([]byte(text[i : i+1])); err != nil {
				return
			}
			<-time.After(interval)
		}
	})
	_, _ = io.Copy(io.Discard, conn) // however it ends
	took := time.Since(began)
	conn.Close()
	writing.Wait()
	return took
}
