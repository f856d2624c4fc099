package loadgen

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"qmq/message"
	"qmq/protocol"
)

// silence is one that a busy machine does not make of itself: it would have to stand still for
// as long just while what was sent to it is read.
const silence = 2 * time.Second

// delivery is what a fake server sends to its consumer.
type delivery struct {
	body     []byte
	attempts uint16
}

// asSent are deliveries of messages as they are.
func asSent(bodies ...[]byte) (all []delivery) {
	for _, b := range bodies {
		all = append(all, delivery{b, 1})
	}
	return all
}

// fake is a server with one consumer that may do with messages what it likes.
type fake struct {
	deal   func(bodies [][]byte) []delivery // what a publish becomes; called with mu held
	answer []byte                           // to a publish, a whole frame

	mu       sync.Mutex // guards what follows
	consumer net.Conn   // nil: none is ready
	waiting  []byte     // frames for it
	conns    []net.Conn
}

// startFake serves until the end of the test.
func startFake(t *testing.T, f *fake) Target {
	t.Helper()
	if f.answer == nil {
		f.answer = []byte(protocol.OKFrame)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	})
	return Target{TCP: l.Addr().String()}
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	p := protocol.Parser{Limits: protocol.Limits{MaxMsgSize: 1 << 20, MaxBodySize: 5 << 20, MaxRdyCount: 2500, MaxReqTimeout: time.Hour}}
	var buf []byte
	more := make([]byte, 64<<10)
	for magic := false; ; {
		n, err := c.Read(more)
		if err != nil {
			return
		}
		buf = append(buf, more[:n]...)
		if !magic && len(buf) >= len(protocol.Magic) {
			buf, magic = buf[len(protocol.Magic):], true
		}
		for magic {
			var cmd protocol.Command
			n, _, err := p.Parse(buf, &cmd)
			if err != nil {
				c.Write(protocol.AppendError(nil, err))
				return
			}
			if n == 0 {
				break
			}
			f.do(c, &p, &cmd)
			buf = buf[n:]
		}
	}
}

func (f *fake) do(c net.Conn, p *protocol.Parser, cmd *protocol.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch cmd.Kind {
	case protocol.Identify:
		c.Write(protocol.AppendResponse(nil, `{"version":"fake"}`))
	case protocol.Sub:
		p.State = protocol.StateSubscribed
		c.Write([]byte(protocol.OKFrame))
	case protocol.Rdy:
		if f.consumer = nil; cmd.Count > 0 {
			f.consumer = c
		}
	case protocol.Pub, protocol.Dpub:
		f.publish(c, [][]byte{bytes.Clone(cmd.Body)})
	case protocol.Mpub:
		var bodies [][]byte
		for body, ok := cmd.Messages.Next(); ok; body, ok = cmd.Messages.Next() {
			bodies = append(bodies, bytes.Clone(body))
		}
		f.publish(c, bodies)
	}
	if f.consumer != nil && len(f.waiting) > 0 {
		f.consumer.Write(f.waiting)
		f.waiting = nil
	}
}

func (f *fake) publish(c net.Conn, bodies [][]byte) {
	c.Write(f.answer)
	for _, d := range f.deal(bodies) {
		id := message.MakeID(1, binary.LittleEndian.Uint64(append(d.body, make([]byte, 8)...)))
		f.waiting = protocol.AppendMessage(f.waiting, 1, d.attempts, id, d.body)
	}
}
